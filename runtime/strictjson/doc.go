// Package strictjson reads JSON documents whose mistakes must not pass: configurations, safetensors
// headers, checkpoint indexes.
//
// It accepts RFC 8259 and nothing else, and refuses what other readers guess about: duplicate keys,
// invalid UTF-8, unpaired surrogates, text after the document. Objects keep the order of their keys,
// numbers keep their text. Every error says line and column and the path of keys that leads there.
//
// It must not know what the documents mean, and it uses no reflection.
//
// Invariants: Parse never panics, and what it allocates is bounded by Limits: at most some 200 bytes for
// each value and once the size of the document. A Value is immutable and may be read by many goroutines.
package strictjson
