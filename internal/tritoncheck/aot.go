package tritoncheck

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"flagc/runtime/atomicfile"

	"golang.org/x/sync/errgroup"
)

// Device is something that upstream Triton compiles for.
type Device struct {
	Name      string // sm_90, gfx942
	Backend   string // cuda or hip
	Arch      string // Triton's word: "90", "gfx942"
	WarpSize  int
	MaxShared int    // bytes of shared memory that a program can have; Triton looks only when it launches
	Of        string // the accelerators, or what it stands in for
}

// Devices are those that the public release compiles for without the device. The last three stand in for
// accelerators whose own compilers are not public: passing there means that a compiler of that kind accepts the
// kernel, no more.
var Devices = []Device{
	{Name: "sm_90", Backend: "cuda", Arch: "90", WarpSize: 32, MaxShared: 227 << 10, Of: "H100, H20, H200"},
	{Name: "sm_100", Backend: "cuda", Arch: "100", WarpSize: 32, MaxShared: 227 << 10, Of: "B200"},
	{Name: "sm_80", Backend: "cuda", Arch: "80", WarpSize: 32, MaxShared: 163 << 10, Of: "stand-in for CUDA-like back ends, warps of 32"},
	{Name: "gfx942", Backend: "hip", Arch: "gfx942", WarpSize: 64, MaxShared: 64 << 10, Of: "stand-in for HIP-like back ends, warps of 64"},
	{Name: "gfx90a", Backend: "hip", Arch: "gfx90a", WarpSize: 64, MaxShared: 64 << 10, Of: "stand-in for older HIP-like back ends, warps of 64"},
}

// DeviceNamed returns the device of that name.
func DeviceNamed(name string) (Device, bool) {
	for _, d := range Devices {
		if d.Name == name {
			return d, true
		}
	}
	return Device{}, false
}

// Compiled is a kernel compiled for a device, or the compiler's reason why not.
type Compiled struct {
	Kernel string `json:"kernel"`
	Device string `json:"device"`
	OK     bool   `json:"ok"`
	Error  string `json:"error,omitempty"`

	Registers  int             `json:"registers"`   // per thread
	SpillBytes int             `json:"spill_bytes"` // stored and loaded again, per thread
	StackBytes int             `json:"stack_bytes"` // per thread
	Shared     int             `json:"shared"`      // bytes per program
	Bytes      int             `json:"bytes"`       // of the object
	Seconds    float64         `json:"seconds"`     // that compiling took when it was done
	Launch     json.RawMessage `json:"launch,omitempty"`

	Object []byte `json:"-"` // cubin or hsaco
}

// Cell is the result as a place in a table. A type that the device does not have is no fault of the kernel.
func (c *Compiled) Cell() Cell {
	switch {
	case strings.Contains(c.Error, "not supported in this architecture"):
		return Cell{State: NotPossible, Why: c.Device + ": " + c.Error}
	case !c.OK:
		return Cell{State: Failed, Why: c.Error}
	}
	return Pass(map[string]any{"registers": c.Registers, "spill_bytes": c.SpillBytes, "shared": c.Shared, "bytes": c.Bytes})
}

// Compiler compiles ahead of time and remembers by content.
type Compiler struct {
	pool  *pool
	store store
}

// NewCompiler starts nothing yet. It fails with Unavailable where Triton cannot be had.
func NewCompiler(ctx context.Context) (*Compiler, error) {
	s, err := newStore("aot")
	if err != nil {
		return nil, err
	}
	p, err := newPool(ctx, &tritonEnv, "aot.py")
	if err != nil {
		return nil, err
	}
	return &Compiler{p, s}, nil
}

// Close ends the processes once their kernels are done.
func (c *Compiler) Close() { c.pool.close() }

// compileJSON is everything that a result depends on besides the kernel's text and the tools.
type compileJSON struct {
	Name      string         `json:"name"`
	Params    []Param        `json:"params"`
	Constants map[string]int `json:"constants"`
	Warps     int            `json:"warps"`
	Stages    int            `json:"stages"`
	Registers int            `json:"registers,omitempty"`
	Dependent bool           `json:"dependent"`
	Device    *deviceJSON    `json:"device,omitempty"`
}

type deviceJSON struct {
	Backend  string `json:"backend"`
	Arch     string `json:"arch"`
	WarpSize int    `json:"warp_size"`
}

// Compile compiles one kernel of m. An error is one of this machine; a kernel that the compiler refuses is a
// result without OK.
func (c *Compiler) Compile(ctx context.Context, m *Manifest, k *Kernel, d Device) (*Compiled, error) {
	request := k.request()
	request.Device = &deviceJSON{d.Backend, d.Arch, d.WarpSize}
	r := &Compiled{}
	object, err := cached(ctx, c.pool, c.store, m, k, request, r, func() int { return r.Bytes })
	if err := crashIsAnswer(err, &r.OK, &r.Error); err != nil {
		return nil, err
	}
	if r.Launch, err = compacted(r.Launch); err != nil {
		return nil, err
	}
	r.Kernel, r.Device, r.Object = k.Name, d.Name, object
	if r.OK && r.Shared > d.MaxShared {
		r.OK, r.Error = false, fmt.Sprintf("needs %d bytes of shared memory, %s has %d", r.Shared, d.Name, d.MaxShared)
	}
	return r, nil
}

// compacted is JSON in its shortest form: the compiler writes it on one line, the store on many.
func compacted(text json.RawMessage) (json.RawMessage, error) {
	if text == nil {
		return nil, nil
	}
	var out bytes.Buffer
	err := json.Compact(&out, text)
	return out.Bytes(), err
}

// crashIsAnswer turns a compiler's crash into a result, though not one to keep; other errors it returns.
func crashIsAnswer(err error, ok *bool, why *string) error {
	var c *crash
	if errors.As(err, &c) {
		*ok, *why = false, "the compiler crashed: "+c.why
		return nil
	}
	return err
}

func (k *Kernel) request() compileJSON {
	constants := k.Constants
	if constants == nil {
		constants = map[string]int{}
	}
	return compileJSON{Name: k.Name, Params: k.Params, Constants: constants, Warps: k.Warps, Stages: k.Stages, Registers: k.Registers, Dependent: k.Dependent}
}

// cached answers a request about a kernel from the store, or from the pool and keeps the answer. size tells, once
// result is filled, how many bytes follow.
func cached(ctx context.Context, p *pool, s store, m *Manifest, k *Kernel, request compileJSON, result any, size func() int) ([]byte, error) {
	file, err := filepath.Abs(filepath.Join(m.Dir, k.File))
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	key, err := keyOf(p.env, p.script, string(text), request)
	if err != nil {
		return nil, err
	}
	if artefact, ok := s.get(key, result); ok {
		return artefact, nil
	}
	var artefact []byte
	asked := struct {
		compileJSON
		File string `json:"file"`
	}{request, file}
	err = p.ask(ctx, asked, nil, result, func() [][]byte {
		artefact = make([]byte, size())
		return [][]byte{artefact}
	})
	if err != nil {
		return nil, err
	}
	return artefact, s.put(key, result, artefact)
}

// CompileAll compiles every kernel of m for every device. Results come in the order of kernels, then of devices;
// done, which may be nil, hears of each as it is there, from several goroutines.
func (c *Compiler) CompileAll(ctx context.Context, m *Manifest, devices []Device, done func(*Compiled)) ([]*Compiled, error) {
	results := make([]*Compiled, len(m.Kernels)*len(devices))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(2 * workers) // the store answers many without a worker
	for i := range results {
		group.Go(func() (err error) {
			results[i], err = c.Compile(ctx, m, &m.Kernels[i/len(devices)], devices[i%len(devices)])
			if err == nil && done != nil {
				done(results[i])
			}
			return err
		})
	}
	return results, group.Wait()
}

// Export writes the objects for launchers: DIR/DEVICE/KERNEL.cubin or .hsaco, and KERNEL.json with what a launch
// must know. Results without OK are an error.
func Export(results []*Compiled, dir string) error {
	for _, r := range results {
		if !r.OK {
			return fmt.Errorf("%s does not compile for %s: %s", r.Kernel, r.Device, r.Error)
		}
		folder := filepath.Join(dir, r.Device)
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return err
		}
		kind := ".hsaco"
		if d, ok := DeviceNamed(r.Device); ok && d.Backend == "cuda" {
			kind = ".cubin"
		}
		launch, err := json.MarshalIndent(r.Launch, "", "  ")
		if err != nil {
			return err
		}
		if err := atomicfile.WriteFile(filepath.Join(folder, r.Kernel+kind), r.Object, 0o644); err != nil {
			return err
		}
		if err := atomicfile.WriteFile(filepath.Join(folder, r.Kernel+".json"), append(launch, '\n'), 0o644); err != nil {
			return err
		}
	}
	return nil
}
