// Package frontend reads the .flag language: a model as text, elaborated for one configuration into graph IR.
//
// Parse checks syntax alone. Elaborate also reads a checkpoint's config.json through the model's config block,
// expands modules, loops and static conditions, and builds one ir.Func per layer kind, entry and mode; the IR's
// own operators infer all types. The package must not know targets, passes, or any particular model.
//
// What is static (sizes, numbers, conditions, the structure of the model) is computed here; what is left are
// tensors. An integer keeps the text that it was written with beside its value, so that axes keep their names.
//
// Mistakes are diag.Diagnostic values, at most diag.Limit of them. A part that failed yields a poisoned value
// that fits everywhere, so that one mistake is one message.
//
//	source     source text, spans, documentation comments
//	grammar    the syntax, as participle structs; parse runs it, syntax words its errors
//	static     integers with names, arithmetic on static values
//	config     the config block against config.json; rules are its constraints
//	elaborate  the stages, and what they share
//	instance   modules with their static arguments: weights, states, parts
//	kind       layers of equal static arguments share parameters and functions
//	function   one IR function; stmt runs its statements, scope holds their names
//	expr       expressions; typed demands what they must yield
//	call       calls of parts, functions and ops; bind gives parameters their arguments, op makes instructions
//	suggest    looks for the value that was probably meant
//	finish     dead code, unused declarations
package frontend
