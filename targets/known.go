package targets

import (
	"fmt"
	"math"
)

// Known is a fact that may be unknown, with where it comes from. The zero value is the unknown, and the value
// can be had only together with whether there is one, so that a zero never reads as a fact.
type Known[T comparable] struct {
	value    T
	evidence Evidence
	source   string
}

// Get returns the fact and whether it is known.
func (k Known[T]) Get() (T, bool) { return k.value, k.evidence != "" }

// Or returns the fact, or otherwise if it is unknown.
func (k Known[T]) Or(otherwise T) T {
	if k.evidence == "" {
		return otherwise
	}
	return k.value
}

// Is reports whether the fact is known to be v. What is unknown is nothing in particular.
func (k Known[T]) Is(v T) bool { return k.evidence != "" && k.value == v }

// Source names the document, source tree or measurement that the fact comes from, "" if it is unknown.
func (k Known[T]) Source() string { return k.source }

// Evidence says what kind of source that is, "" if the fact is unknown.
func (k Known[T]) Evidence() Evidence { return k.evidence }

// about is what the listing needs of a fact of any type.
func (k Known[T]) about() (value any, evidence Evidence, source string) {
	return k.value, k.evidence, k.source
}

// forget makes a fact unknown that a variant must not take over from its relative.
func (k *Known[T]) forget() { *k = Known[T]{} }

// Evidence is the kind of a fact's source, from which a reader judges how far to trust it.
type Evidence string

// EvidenceKey explains the kinds to readers of a listing.
const EvidenceKey = "measured by this project, code read in a source tree, vendor documents and tools, " +
	"reported by others, derived from cited figures"

// The kinds of evidence, from the strongest to the weakest.
const (
	Measured   Evidence = "measured" // by this project, on the machine or with the compiler
	Code       Evidence = "code"     // read in a source tree: compiler backend, kernel library, launcher
	VendorDoc  Evidence = "vendor"   // the vendor's document or what its tool prints
	ThirdParty Evidence = "reported" // somebody else's page, card or thread
	Derived    Evidence = "derived"  // arithmetic on cited figures, or the limit that they imply
)

func measured[T comparable](v T, source string) Known[T] { return Known[T]{v, Measured, source} }
func code[T comparable](v T, source string) Known[T]     { return Known[T]{v, Code, source} }
func vendor[T comparable](v T, source string) Known[T]   { return Known[T]{v, VendorDoc, source} }
func reported[T comparable](v T, source string) Known[T] { return Known[T]{v, ThirdParty, source} }
func derived[T comparable](v T, source string) Known[T]  { return Known[T]{v, Derived, source} }

// Bytes is an amount of memory.
type Bytes int64

// Binary and decimal units: a source that says GB without more is taken as decimal, the smaller of the two.
const (
	KiB Bytes = 1 << 10
	MiB Bytes = 1 << 20
	GiB Bytes = 1 << 30
	MB  Bytes = 1e6
	GB  Bytes = 1e9
)

// String prints the amount in the unit that it was stated in, as far as the number shows.
func (b Bytes) String() string {
	switch {
	case b%GiB == 0:
		return fmt.Sprintf("%d GiB", b/GiB)
	case b%MiB == 0:
		return fmt.Sprintf("%d MiB", b/MiB)
	case b >= GB:
		return fmt.Sprintf("%.4g GB", float64(b)/float64(GB))
	case b%MB == 0:
		return fmt.Sprintf("%d MB", b/MB)
	case b%KiB == 0:
		return fmt.Sprintf("%d KiB", b/KiB)
	}
	return fmt.Sprintf("%d B", b)
}

// Rate is bytes per second.
type Rate float64

// Units of Rate, decimal as all sources use them.
const (
	GBs Rate = 1e9
	TBs Rate = 1e12
)

func (r Rate) String() string {
	if r >= TBs {
		return fmt.Sprintf("%.4g TB/s", float64(r/TBs))
	}
	return fmt.Sprintf("%.4g GB/s", float64(r/GBs))
}

// Speed is arithmetic operations per second, a multiply-add counted as two, without sparsity.
type Speed float64

// TF is 10^12 operations per second, floating or integer.
const TF Speed = 1e12

func (s Speed) String() string { return fmt.Sprintf("%.4g Top/s", float64(s/TF)) }

// Microseconds is a short time on the host or the device.
type Microseconds float64

func (m Microseconds) String() string {
	if m < 1 {
		return fmt.Sprintf("%d ns", int(math.Round(1000*float64(m))))
	}
	return fmt.Sprintf("%.4g µs", float64(m))
}
