; The trap that follows HLT under TF ends it; EIP is behind it. SDM 3B 17.3.1.4; 2A HLT.
.include "frame.inc"
        gdt_more
gdt_end:

main:
case "HLT is left by the trap"
        step
        hlt
        unstep
        print "on"
done
