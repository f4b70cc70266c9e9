"""From a definition to a function that can be traced: its decisions made visible to the compiler.

Python decides `if x:` by itself, and a compiled word has no truth before the code runs. So the source of
a definition is rewritten once:

    if test: A                 def then(): A         signal = frame.branch(test, then, otherwise, …)
    else: B             →      def otherwise(): B
    a if test else b           frame.choose(test, lambda: a, lambda: b)
    x and y, not x             frame.both(x, lambda: y), frame.negate(x)
    raise F(…), return v       signals, because a way may end where another goes on
    f(…)                       frame.call(f, …): what it calls in isa is rewritten too

`frame` (`frames.py`) decides at once what is known while compiling, so `if i.w == 32` costs nothing, and
compiles both sides of the rest. Line numbers stay those of the definition. What the language does not
have (`while`, `try`, …) is refused here with its place.
"""

from __future__ import annotations

import ast
import functools
import linecache
from collections.abc import Callable, Iterable
from types import CodeType, FunctionType
from typing import Any

from isa.engine import frames
from isa.engine.rewritten import Rewritten
from isa.engine.words import TraceError

REFUSED = (
    ast.While, ast.Try, ast.With, ast.Match, ast.Global, ast.Nonlocal, ast.Delete, ast.Import, ast.ImportFrom,
    ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef, ast.Await, ast.Yield, ast.YieldFrom, ast.TryStar,
)  # fmt: skip
SCOPES = (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_DECISIONS = (ast.IfExp, ast.BoolOp, ast.Not, ast.Call)

_functions: dict[FunctionType, Callable[..., Any]] = {}


def run(define: Callable[..., Any], *arguments: Any) -> Any:
    """Trace a definition; a `TraceError` that comes out says where it is."""
    try:
        return rewritten(define)(*arguments)
    except TraceError as error:
        step = error.__traceback__
        while step is not None and error.where is None:
            if step.tb_frame.f_globals.get("__name__", "").startswith("isa.engine"):
                step = step.tb_next
                continue
            place = f"{step.tb_frame.f_code.co_filename}:{step.tb_lineno}"
            step = step.tb_next
            if not _more(step):
                error.where = place
        raise


def _more(step: Any) -> bool:
    """Whether a definition's frame still follows in a traceback."""
    while step is not None:
        if not step.tb_frame.f_globals.get("__name__", "").startswith("isa.engine"):
            return True
        step = step.tb_next
    return False


def rewritten(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The traceable form of a function, made once."""
    if not isinstance(fn, FunctionType):
        raise TraceError(f"{fn!r} is not a Python function")
    if "_f" in fn.__code__.co_freevars:  # a lambda within rewritten text
        return fn
    found = _functions.get(fn)
    if found is None:
        found = _functions[fn] = _bind(fn)
    return found


def _bind(fn: FunctionType) -> Callable[..., Any]:
    """Give the rewritten code the function's own globals, closure and defaults."""
    make_code = _compile(fn.__code__)
    if make_code is None:
        return fn
    make = FunctionType(make_code, fn.__globals__)
    cells = [cell.cell_contents for cell in fn.__closure__ or ()]
    result: FunctionType = make(frames, *cells)
    result.__defaults__ = fn.__defaults__
    result.__kwdefaults__ = fn.__kwdefaults__
    return result


@functools.cache
def _kept() -> Rewritten:
    """What earlier processes have made."""
    return Rewritten()


@functools.cache
def _compile(code: CodeType) -> CodeType | None:
    """Code of `make(_t, *free variables)`, which returns the rewritten function; None: nothing to do."""
    kept = _kept()
    found = kept.find(code)
    if found is not None:
        return found[0]
    made = _rewrite(code)
    kept.keep(code, made)
    return made


def _rewrite(code: CodeType) -> CodeType | None:
    node = _find(code)
    if isinstance(node, ast.Lambda) and not any(isinstance(x, _DECISIONS) for x in ast.walk(node)):
        return None
    body: list[ast.stmt] = [ast.Return(node.body)] if isinstance(node, ast.Lambda) else node.body
    place_like(body, node)
    function = _Rewriter(code.co_filename).function(body, node.args, node)
    outer = ast.parse(f"def make(_t{''.join(', ' + v for v in code.co_freevars)}):\n return _function").body[
        0
    ]
    assert isinstance(outer, ast.FunctionDef)
    outer.body.insert(0, function)
    module = ast.Module([place_all(outer, node)], [])
    compiled = compile(module, code.co_filename, "exec", dont_inherit=True)
    return next(k for k in compiled.co_consts if isinstance(k, CodeType))


@functools.cache
def _functions_in(filename: str) -> list[ast.FunctionDef | ast.Lambda]:
    """The functions of a file. Looked for once: a file has thousands of nodes."""
    module = ast.parse("".join(linecache.getlines(filename)), filename)
    return [x for x in ast.walk(module) if isinstance(x, ast.FunctionDef | ast.Lambda)]


def _find(code: CodeType) -> ast.FunctionDef | ast.Lambda:
    """The node that a code object was compiled from."""
    nodes = _functions_in(code.co_filename)
    if code.co_name == "<lambda>":
        lambdas = [x for x in nodes if isinstance(x, ast.Lambda) and x.lineno == code.co_firstlineno]
        place = list(code.co_positions())[-1]
        exact = [x for x in lambdas if (x.body.lineno, x.body.end_lineno, *_columns(x.body)) == place]
        found: list[ast.FunctionDef | ast.Lambda] = [*(exact or lambdas)]
    else:
        functions = [x for x in nodes if isinstance(x, ast.FunctionDef) and x.name == code.co_name]
        found = [x for x in functions if _first_line(x) == code.co_firstlineno]
    if len(found) == 1:
        return found[0]
    raise TraceError(f"no source for {code.co_name} at {code.co_filename}:{code.co_firstlineno}")


def _columns(node: ast.expr) -> tuple[int, int | None]:
    return node.col_offset, node.end_col_offset


def _first_line(node: ast.FunctionDef) -> int:
    """Where Python says that a function begins: at its decorators."""
    return min([node.lineno, *(d.lineno for d in node.decorator_list)])


def place_like(nodes: Iterable[ast.AST], origin: ast.AST) -> None:
    """Give nodes without a line number that of `origin`."""
    for node in nodes:
        if not hasattr(node, "lineno"):
            ast.copy_location(node, origin)


def place_all(tree: ast.stmt, origin: ast.AST) -> ast.stmt:
    """Give every node of a tree that lacks a line number that of `origin`."""
    place_like(ast.walk(tree), origin)
    return tree


def _assigned(body: list[ast.stmt]) -> list[str]:
    """The locals that statements assign, not those of lambdas and comprehensions."""
    names: dict[str, None] = {}
    todo: list[ast.AST] = list(reversed(body))
    while todo:
        node = todo.pop()
        if isinstance(node, SCOPES):
            continue
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names[node.id] = None
        todo += reversed(list(ast.iter_child_nodes(node)))
    return list(names)


class _Rewriter(ast.NodeTransformer):
    """Rewrites one function; see the module's table."""

    def __init__(self, filename: str) -> None:
        self.filename = filename
        self.count = 0
        self.inside = 0  # how many branch functions deep
        self.loops = 0  # how many loops deep within the innermost of them
        self.shared: dict[str, None] = {}  # locals that branches assign
        self.first = ""

    def function(self, body: list[ast.stmt], arguments: ast.arguments, node: ast.AST) -> ast.FunctionDef:
        """The function `_function` with a rewritten body."""
        names = [a.arg for a in arguments.posonlyargs + arguments.args + arguments.kwonlyargs]
        self.first = names[0] if names else ""
        statements = [new for old in body for new in self._statements(old)]
        shell = ast.parse("def _function():\n _f = _t.Frame(__name__)").body[0]
        assert isinstance(shell, ast.FunctionDef)
        plain = ast.arguments(
            posonlyargs=[ast.arg(a.arg) for a in arguments.posonlyargs],
            args=[ast.arg(a.arg) for a in arguments.args],
            vararg=arguments.vararg and ast.arg(arguments.vararg.arg),
            kwonlyargs=[ast.arg(a.arg) for a in arguments.kwonlyargs],
            kw_defaults=[None for _ in arguments.kwonlyargs],
            kwarg=arguments.kwarg and ast.arg(arguments.kwarg.arg),
            defaults=[ast.Constant(None) for _ in arguments.defaults],
        )
        plain.kw_defaults = [d and ast.Constant(None) for d in arguments.kw_defaults]
        shell.args = plain
        for name in self.shared:
            if name not in names:
                shell.body += ast.parse(f"{name} = _t.Unset({name!r})").body
        _forget_places(shell)
        shell.body += [*statements, *self._template("return _f.finish(None)", node)]
        return shell

    # -- helpers ----------------------------------------------------------------------------------
    def _statements(self, node: ast.stmt) -> list[ast.stmt]:
        new = self.visit(node)
        return new if isinstance(new, list) else [new] if new is not None else []

    def _body(self, body: list[ast.stmt]) -> list[ast.stmt]:
        return [new for old in body for new in self._statements(old)]

    def _template(self, source: str, origin: ast.AST, **parts: ast.expr) -> list[ast.stmt]:
        """Statements from source text in which the names `__…` of `parts` are replaced by expressions."""
        tree = ast.parse(source)
        _forget_places(tree)
        for node in ast.walk(tree):
            for field, value in ast.iter_fields(node):
                if isinstance(value, ast.Name) and value.id in parts:
                    setattr(node, field, parts[value.id])
                elif isinstance(value, list):
                    value[:] = [parts.get(x.id, x) if isinstance(x, ast.Name) else x for x in value]
        for statement in tree.body:
            place_all(statement, origin)
        return tree.body

    def _expression(self, source: str, origin: ast.expr, **parts: ast.expr) -> ast.expr:
        """An expression from source text, likewise."""
        statement = self._template(source, origin, **parts)[0]
        assert isinstance(statement, ast.Expr)
        return statement.value

    def _refuse(self, node: ast.AST, why: str) -> TraceError:
        error = TraceError(why)
        error.where = f"{self.filename}:{getattr(node, 'lineno', 0)}"
        return error

    def _later(self, node: ast.expr) -> ast.expr:
        """An operand that is evaluated only if it is wanted."""
        if any(isinstance(x, ast.NamedExpr) for x in ast.walk(node)):
            raise self._refuse(node, "an assignment within a conditional expression")
        later = ast.parse("lambda: 0", mode="eval").body
        assert isinstance(later, ast.Lambda)
        _forget_places(later)
        later.body = self.visit(node)
        place_like(ast.walk(later), node)
        return later

    def generic_visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, REFUSED):
            raise self._refuse(node, f"the language has no {type(node).__name__.lower()} within a definition")
        return super().generic_visit(node)

    # -- statements -------------------------------------------------------------------------------
    def visit_If(self, node: ast.If) -> list[ast.stmt]:
        self.count += 1
        n = self.count
        names = _assigned(node.body + node.orelse)
        self.shared.update(dict.fromkeys(names))
        test = self.visit(node.test)
        arms = self._arm(f"_then{n}", node.body, node) + self._arm(f"_else{n}", node.orelse, node)
        values = "".join(f"{name}, " for name in names)
        put = f"nonlocal {', '.join(names)}; ({values}) = _v" if names else "pass"
        leave = "return _s" if self.inside else "return _f.finish(_s)"
        if self.loops:
            leave = f"if _s is _t.CONTINUE: continue\n if _s is _t.BREAK: break\n {leave}"
        arms += self._template(f"def _put{n}(_v):\n {put}", node)
        return arms + self._template(
            f"_s = _f.branch(__TEST, _then{n}, _else{n}, lambda: ({values}), _put{n})\n"
            f"if _s is not None:\n {leave}",
            node,
            __TEST=test,
        )

    def _arm(self, name: str, body: list[ast.stmt], node: ast.If) -> list[ast.stmt]:
        """One side of an `if` as a function that returns None or a signal."""
        loops, self.loops = self.loops, 0
        self.inside += 1
        names = _assigned(node.body + node.orelse)
        shell = self._template(
            f"def {name}():\n " + (f"nonlocal {', '.join(names)}" if names else "pass"), node
        )
        function = shell[0]
        assert isinstance(function, ast.FunctionDef)
        function.body += self._body(body)
        self.inside -= 1
        self.loops = loops
        return shell

    def visit_Return(self, node: ast.Return) -> list[ast.stmt]:
        value = self.visit(node.value) if node.value else ast.Constant(None)
        source = "return _t.Return(__VALUE)" if self.inside else "return _f.finish(_t.Return(__VALUE))"
        return self._template(source, node, __VALUE=value)

    def visit_Raise(self, node: ast.Raise) -> list[ast.stmt]:
        if node.exc is None:
            raise self._refuse(node, "raise without a fault")
        source = "return _f.fail(__FAULT)" if self.inside else "return _f.finish(_f.fail(__FAULT))"
        return self._template(source, node, __FAULT=self.visit(node.exc))

    def visit_For(self, node: ast.For) -> ast.stmt:
        if node.orelse:
            raise self._refuse(node, "the language has no else after for")
        iterable = self._expression("_f.constants(__ITERABLE)", node.iter, __ITERABLE=self.visit(node.iter))
        self.loops += 1
        loop = ast.For(node.target, iterable, self._body(node.body), [])
        self.loops -= 1
        return ast.copy_location(loop, node)

    def visit_Continue(self, node: ast.Continue) -> list[ast.stmt]:
        return [node] if self.loops else self._template("return _t.CONTINUE", node)

    def visit_Break(self, node: ast.Break) -> list[ast.stmt]:
        return [node] if self.loops else self._template("return _t.BREAK", node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> list[ast.stmt]:
        if node.value is None:
            return []
        return [ast.copy_location(ast.Assign([node.target], self.visit(node.value)), node)]

    def visit_Assert(self, node: ast.Assert) -> list[ast.stmt]:
        return []

    # -- expressions ------------------------------------------------------------------------------
    def visit_IfExp(self, node: ast.IfExp) -> ast.expr:
        test, yes, no = self.visit(node.test), self._later(node.body), self._later(node.orelse)
        return self._expression("_f.choose(__TEST, __YES, __NO)", node, __TEST=test, __YES=yes, __NO=no)

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.expr:
        how = "both" if isinstance(node.op, ast.And) else "either"
        result: ast.expr = self.visit(node.values[0])
        for value in node.values[1:]:
            result = self._expression(
                f"_f.{how}(__FIRST, __REST)", node, __FIRST=result, __REST=self._later(value)
            )
        return result

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        if isinstance(node.op, ast.Not):
            return self._expression("_f.negate(__VALUE)", node, __VALUE=self.visit(node.operand))
        return self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        if len(node.ops) > 1:
            raise self._refuse(node, "a chain of comparisons; write both with `and`")
        if isinstance(node.ops[0], ast.In | ast.NotIn):
            value, among = self.visit(node.left), self.visit(node.comparators[0])
            found = self._expression("_f.among(__VALUE, __AMONG)", node, __VALUE=value, __AMONG=among)
            negated = isinstance(node.ops[0], ast.NotIn)
            return self._expression("_f.negate(__VALUE)", node, __VALUE=found) if negated else found
        return self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        method = node.func
        of = method.value if isinstance(method, ast.Attribute) else None
        if isinstance(of, ast.Name) and of.id == self.first:
            return node  # an operation of the builder
        call = self._expression("_f.call(__FUNCTION)", node, __FUNCTION=node.func)
        assert isinstance(call, ast.Call)
        call.args += node.args
        call.keywords = node.keywords
        return call


def _forget_places(tree: ast.AST) -> None:
    """Remove the line numbers of generated nodes, so that they get those of what they stand for."""
    for node in ast.walk(tree):
        for attribute in ("lineno", "col_offset", "end_lineno", "end_col_offset"):
            node.__dict__.pop(attribute, None)
