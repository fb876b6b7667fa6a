// Package ir is flagc's graph IR: typed SSA over tensors with named axes, as data and as text.
//
// A Module holds parameter sets (the weights and states of one kind of layer), functions over them, and the
// named sizes that the text uses. The package knows neither operators nor targets nor .flag syntax; operators
// reach it as Op values (package ir/ops) through an OpSet.
//
// Invariants, held by Verify; the labels stand in messages and in the names of tests:
//
//	[ssa1]   a value is defined once, before its uses, in the function that uses it
//	[ssa2]   value names are unique within a function
//	[type1]  the types of an instruction's results are what its op infers from operands and attributes
//	[attr1]  an instruction has the attributes that its op declares, with values of the declared kind
//	[state1] a state is linear: the value that an update consumed is not used again
//	[state2] a state leaves a function with the type it entered with
//	[mesh1]  types split axes over ranks that the mesh has, over each once
//	[mesh2]  a collective names a communicator of the mesh
//	[call1]  a call names a function of the module, fits its parameters, and stands at an instance of its parameter set
//	[call2]  one function calls at most one function at each instance, so that a state has one
//	         history; a function that it calls at its own instance uses none of its states
//	[param1] tensor names of the checkpoint are unique over all parameter sets and instances
//	[kern1]  a kernel holds ops alone, on its arguments and on each other; what it yields is computed in it
//	[kern2]  a kernel is built round instructions of its own
//	[kern3]  a launch names a kernel of the module and of its function's mode, and fits its arguments and results
//	[kern4]  every kernel is launched or offered to callers, and has a name of its own
//	[kern5]  a state that a kernel updates enters it as a state and leaves it as a result
//	[mem1]   in a planned module every value that needs room has a place in the region where it belongs, on the grid of
//	         alignment; nothing else has one
//	[mem2]   two values that are needed at once do not overlap
//	[mem3]   a result lies where an operand ends only if its op may overwrite that operand
//	[mem4]   the room of a called function begins behind what lives through the call
//	[mem5]   the module's figures are what its types and places come to
//	[ret1]   a function returns values of its declared result types
package ir
