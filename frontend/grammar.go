package frontend

import "github.com/alecthomas/participle/v2/lexer"

// node is where a piece of syntax stands.
type node struct {
	Pos    lexer.Position
	EndPos lexer.Position
}

// File is a parsed .flag source.
type File struct {
	node
	Model *Name   `parser:"'model' @@"`
	Decls []*Decl `parser:"@@*"`

	src *source
}

// Decl is one declaration of the top level.
type Decl struct {
	node
	Config *Config `parser:"  @@"`
	Module *Module `parser:"| @@"`
	Entry  *Entry  `parser:"| @@"`
	Member *Member `parser:"| @@"`
}

// Name is an identifier; dots join the parts of a tensor's name.
type Name struct {
	node
	Text string `parser:"@Ident"`
}

// Config says which keys of config.json the model reads, and under which names.
type Config struct {
	node
	Items []*ConfigItem `parser:"'config' '{' @@* '}'"`
}

// ConfigItem is one line of the config block.
type ConfigItem struct {
	node
	Expect  *Expect  `parser:"  @@"`
	Refuse  *Refuse  `parser:"| @@"`
	Setting *Setting `parser:"| @@"`
}

// Setting names a value of config.json, or one computed from others.
type Setting struct {
	node
	Name   *Name   `parser:"@@"`
	Length *Expr   `parser:"( '[' @@ ']' )?"`
	From   *Expr   `parser:"'=' @@"`
	Float  bool    `parser:"@'float'?"`
	Rules  []*Rule `parser:"@@*"`
}

// Rule restricts a value of config.json.
type Rule struct {
	node
	OneOf    []*Choice `parser:"  'one' 'of' @@ ( ',' @@ )*"`
	Divides  *Expr     `parser:"| 'divides' @@"`
	Multiple *Expr     `parser:"| 'multiple' 'of' @@"`
	Power    *Expr     `parser:"| 'power' 'of' @@"`
	AtLeast  *Expr     `parser:"| 'at' 'least' @@"`
	AtMost   *Expr     `parser:"| 'at' 'most' @@"`
	Default  *Literal  `parser:"| 'default' @@"`
}

// Choice is an allowed value, with the word that names a layer which has it.
type Choice struct {
	node
	Value int    `parser:"@Number"`
	Label string `parser:"@String?"`
}

// Expect fixes the value of a key that the model takes for granted.
type Expect struct {
	node
	Key     *Name    `parser:"'expect' @@ 'is'"`
	Value   *Literal `parser:"@@"`
	Default *Literal `parser:"( 'default' @@ )?"`
}

// Refuse names a key whose presence means another architecture.
type Refuse struct {
	node
	Key *Name  `parser:"'refuse' @@"`
	Why string `parser:"@String"`
}

// Literal is a constant as JSON has it.
type Literal struct {
	node
	Number *string    `parser:"  @( '-'? Number )"`
	String *string    `parser:"| @String"`
	Word   *string    `parser:"| @( 'true' | 'false' )"`
	List   []*Literal `parser:"| '[' ( @@ ( ',' @@ )* )? ']'"`
}

// Module is a part of the model with weights of its own. The calls of a layer stay calls in the IR, those of
// other modules are expanded.
type Module struct {
	node
	Kind   string    `parser:"@( 'module' | 'layer' )"`
	Name   *Name     `parser:"@@"`
	Params []*Param  `parser:"( '(' ( @@ ( ',' @@ )* )? ')' )?"`
	Body   []*Member `parser:"'{' @@* '}'"`
}

// Member is a declaration inside a module or at the top level.
type Member struct {
	node
	Let    *Let        `parser:"  @@"`
	Tensor *Tensor     `parser:"| @@"`
	State  *State      `parser:"| @@"`
	Sub    *Sub        `parser:"| @@"`
	When   *WhenMember `parser:"| @@"`
	Func   *Func       `parser:"| @@"`
}

// Let names a static value.
type Let struct {
	node
	Name  *Name `parser:"'let' @@"`
	Value *Expr `parser:"'=' @@"`
}

// Tensor is a weight, stored as NAME.weight, or a param, stored as NAME. An index in the middle of the name
// stands for one tensor each.
type Tensor struct {
	node
	Kind  string `parser:"@( 'weight' | 'param' )"`
	Name  *Name  `parser:"@@"`
	Count *Expr  `parser:"( '[' @@ ']'"`
	Rest  *Name  `parser:"  '.' @@ )?"`
	Type  *Type  `parser:"@@"`
}

// State is a tensor that one call leaves for the next.
type State struct {
	node
	Name *Name `parser:"'state' @@"`
	Type *Type `parser:"@@"`
	Init *Expr `parser:"'=' @@"`
}

// Sub is an instance of a module, or an array of them.
type Sub struct {
	node
	Name   *Name   `parser:"'sub' @@"`
	Array  *Range  `parser:"( '[' @@ ']' )?"`
	Module *Name   `parser:"'=' @@"`
	Args   *Call   `parser:"@@"`
	At     *string `parser:"( 'at' @String )?"`
}

// Range is an index with its bound: l < L.
type Range struct {
	node
	Index *Name `parser:"@@"`
	Bound *Expr `parser:"'<' @@"`
}

// WhenMember declares members under a static condition.
type WhenMember struct {
	node
	Cond *Expr     `parser:"'when' @@"`
	Then []*Member `parser:"'{' @@* '}'"`
	Else []*Member `parser:"( 'else' '{' @@* '}' )?"`
}

// Func is a function of the top level, or, without a name, what a module computes.
type Func struct {
	node
	Name    *Name    `parser:"'func' @@?"`
	Params  []*Param `parser:"'(' ( @@ ( ',' @@ )* )? ')'"`
	Results *Results `parser:"( '->' @@ )?"`
	Body    *Block   `parser:"@@"`
}

// Entry is a function of the model that its user calls.
type Entry struct {
	node
	Name    *Name    `parser:"'entry' @@"`
	Params  []*Param `parser:"'(' ( @@ ( ',' @@ )* )? ')'"`
	Results *Results `parser:"'->' @@"`
	When    *Expr    `parser:"( 'when' @@ )?"`
	Body    *Block   `parser:"@@"`
}

// Param is a parameter, with its type where it is a tensor's, and with a default where it may be left out.
type Param struct {
	node
	Name    *Name `parser:"@@"`
	Type    *Type `parser:"@@?"`
	Default *Expr `parser:"( '=' @@ )?"`
}

// Results are the types that a function yields.
type Results struct {
	node
	Types []*Type `parser:"  '(' @@ ( ',' @@ )* ')' | @@"`
}

// Type is a number format with axes.
type Type struct {
	node
	Elem *Name `parser:"@@"`
	Axes *Axes `parser:"@@"`
}

// Axes are sizes in brackets.
type Axes struct {
	node
	Sizes []*Expr `parser:"'[' ( @@ ( ',' @@ )* )? ']'"`
}

// Block is a sequence of statements.
type Block struct {
	node
	Stmts []*Stmt `parser:"'{' @@* '}'"`
}

// Stmt is one statement.
type Stmt struct {
	node
	Let    *Let    `parser:"  @@"`
	Return *Return `parser:"| @@"`
	When   *When   `parser:"| @@"`
	For    *For    `parser:"| @@"`
	Trace  *Trace  `parser:"| @@"`
	Assign *Assign `parser:"| @@"`
}

// Return ends a function with its results.
type Return struct {
	node
	Values []*Expr `parser:"'return' @@ ( ',' @@ )*"`
}

// When takes one of two blocks by a static condition.
type When struct {
	node
	Cond *Expr  `parser:"'when' @@"`
	Then *Block `parser:"@@"`
	Else *Block `parser:"( 'else' @@ )?"`
}

// For repeats a block for each index.
type For struct {
	node
	Range *Range `parser:"'for' @@"`
	Body  *Block `parser:"@@"`
}

// Trace gives a value the name under which it is recorded.
type Trace struct {
	node
	Name  string `parser:"'trace' @String"`
	Value *Expr  `parser:"'=' @@"`
}

// Assign names the results of an expression.
type Assign struct {
	node
	Names []*Name `parser:"@@ ( ',' @@ )*"`
	Value *Expr   `parser:"'=' @@"`
}

// Expr is a chain of operands with operators between them, and a choice by what it yields. The grammar leaves
// precedence to split.
type Expr struct {
	node
	First *Operand `parser:"@@"`
	Rest  []*Term  `parser:"@@*"`
	Then  *Expr    `parser:"( '?' @@"`
	Else  *Expr    `parser:"  ':' @@ )?"`
}

// Term is an operator with its right operand.
type Term struct {
	node
	Op    string   `parser:"@Operator"`
	Value *Operand `parser:"@@"`
}

// Operand is an atom with signs before it and other axes behind it.
type Operand struct {
	node
	Signs  []string `parser:"@( '-' | '!' )*"`
	Number *string  `parser:"( @Number"`
	String *string  `parser:"| @String"`
	Paren  *Expr    `parser:"| '(' @@ ')'"`
	Ref    *Ref     `parser:"| @@ )"`
	As     *Axes    `parser:"( 'as' @@ )?"`
}

// Ref is a name, an element of a list, or a call.
type Ref struct {
	node
	Name  *Name `parser:"@@"`
	Index *Expr `parser:"( '[' @@ ']' )?"`
	Call  *Call `parser:"@@?"`
}

// Call is what a call is given.
type Call struct {
	node
	Args []*Argument `parser:"'(' ( @@ ( ',' @@ )* )? ')'"`
}

// Argument is given by position or by name.
type Argument struct {
	node
	Name  *Name `parser:"( @@ ':' )?"`
	Value *Expr `parser:"@@"`
}
