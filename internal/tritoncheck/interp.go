package tritoncheck

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
)

// Arg is an argument of an interpreted kernel, for the parameter of the same place.
type Arg struct {
	Param
	Data  []byte  // a pointer's memory, little endian; Run writes results of out and inout into it
	Int   int64   // an integer scalar
	Float float64 // a floating point scalar
}

// Pointer is an argument in memory.
func Pointer(name, dtype, access string, data []byte) Arg {
	return Arg{Param: Param{Name: name, Kind: "pointer", DType: dtype, Access: access}, Data: data}
}

// Int is an integer argument.
func Int(name, dtype string, v int64) Arg {
	return Arg{Param: Param{Name: name, Kind: "scalar", DType: dtype}, Int: v}
}

// Float is a floating point argument.
func Float(name, dtype string, v float64) Arg {
	return Arg{Param: Param{Name: name, Kind: "scalar", DType: dtype}, Float: v}
}

// Case is one launch of a kernel under the interpreter.
type Case struct {
	Dir       string // folder of the kernel's file
	File      string // empty: Kernel + ".py"
	Kernel    string
	Grid      int
	Args      []Arg
	Constants map[string]int // only those that differ from the function's defaults

	// Reverse runs the last program first: a kernel must not depend on the order.
	Reverse bool
	// Concurrent lets all programs run at once, taking turns at atomics: needed where one waits for another.
	Concurrent bool
	// IgnoreOther leaves garbage in masked lanes of a load even where the kernel gives a value for them, as some
	// targets do.
	IgnoreOther bool
}

// Fault is a kernel's own mistake, found by the interpreter.
type Fault struct {
	Kernel  string
	Kind    string // Python's name of the error: AccessError, OverflowError, TypeError …
	Message string
	Program int // -1 when no program was running
	File    string
	Line    int // in the kernel's file; 0 when unknown
}

func (f *Fault) Error() string {
	s := f.Kernel
	if f.Line > 0 {
		s = fmt.Sprintf("%s:%d", filepath.Base(f.File), f.Line)
	}
	if f.Program >= 0 {
		s += fmt.Sprintf(": program %d", f.Program)
	}
	return s + ": " + f.Message
}

// Interpreter runs kernels in a pool of Python processes, which are started when needed and serve many cases.
type Interpreter struct{ pool *pool }

// NewInterpreter starts nothing yet. It fails with Unavailable where Triton cannot be had.
func NewInterpreter(ctx context.Context) (*Interpreter, error) {
	p, err := newPool(ctx, &tritonEnv, "interp.py")
	if err != nil {
		return nil, err
	}
	return &Interpreter{p}, nil
}

// Close ends the processes once their cases are done.
func (p *Interpreter) Close() { p.pool.close() }

type caseJSON struct {
	File        string         `json:"file"`
	Kernel      string         `json:"kernel"`
	Grid        int            `json:"grid"`
	Reverse     bool           `json:"reverse"`
	Concurrent  bool           `json:"concurrent"`
	IgnoreOther bool           `json:"ignore_other"`
	Constants   map[string]int `json:"constants"`
	Args        []argJSON      `json:"args"`
}

type argJSON struct {
	Param
	Bytes int `json:"bytes"`
	Value any `json:"value"`
}

type answerJSON struct {
	OK      bool    `json:"ok"`
	Seconds float64 `json:"seconds"`
	Error   string  `json:"error"`
	Kind    string  `json:"kind"`
	Program *int    `json:"program"`
	Line    int     `json:"line"`
}

// Run interprets the kernel on c's arguments and writes the results into their Data. A mistake of the kernel is a
// *Fault, and Data is then unchanged. A kernel that does not end is stopped when ctx is done.
func (p *Interpreter) Run(ctx context.Context, c Case) error {
	request, inputs, err := c.encode()
	if err != nil {
		return fmt.Errorf("%s: %w", c.Kernel, err)
	}
	var answer answerJSON
	err = p.pool.ask(ctx, request, inputs, &answer, func() [][]byte {
		if !answer.OK {
			return nil
		}
		return c.outputs()
	})
	if err != nil {
		return fmt.Errorf("%s: %w", c.Kernel, err)
	}
	if answer.OK {
		return nil
	}
	f := &Fault{Kernel: c.Kernel, Kind: answer.Kind, Message: answer.Error, Program: -1, File: request.File, Line: answer.Line}
	if answer.Program != nil {
		f.Program = *answer.Program
	}
	return f
}

func (c *Case) encode() (request caseJSON, inputs [][]byte, err error) {
	file := c.File
	if file == "" {
		file = c.Kernel + ".py"
	}
	if file, err = filepath.Abs(filepath.Join(c.Dir, file)); err != nil {
		return request, nil, err
	}
	request = caseJSON{
		File: file, Kernel: c.Kernel, Grid: c.Grid, Constants: c.Constants,
		Reverse: c.Reverse, Concurrent: c.Concurrent, IgnoreOther: c.IgnoreOther,
	}
	for _, a := range c.Args {
		j := argJSON{Param: a.Param, Bytes: len(a.Data)}
		size := dtypeBytes[a.DType]
		switch {
		case size == 0:
			return request, nil, fmt.Errorf("argument %s: unknown dtype %q", a.Name, a.DType)
		case a.Kind == "pointer":
			if len(a.Data)%size != 0 {
				return request, nil, fmt.Errorf("argument %s: %d bytes are no multiple of %s", a.Name, len(a.Data), a.DType)
			}
			inputs = append(inputs, a.Data)
		case strings.HasPrefix(a.DType, "i") || strings.HasPrefix(a.DType, "u"):
			j.Value = a.Int
		default:
			j.Value = a.Float
		}
		request.Args = append(request.Args, j)
	}
	return request, inputs, nil
}

// outputs are the buffers that a kernel may have changed.
func (c *Case) outputs() (list [][]byte) {
	for _, a := range c.Args {
		if a.Kind == "pointer" && a.Access != "in" {
			list = append(list, a.Data)
		}
	}
	return list
}
