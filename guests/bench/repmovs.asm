; repmovs: 64 KB by REP MOVSD, paging on
;
; round: 16384 double words

.include "lib/copy.inc"

copy:
    rep movsd
    ret
