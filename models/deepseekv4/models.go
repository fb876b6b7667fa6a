// Package deepseekv4 holds the DeepSeek-V4 family: its model source and the configurations of its members, as
// the checkpoints publish them. It must not know what reads them.
package deepseekv4

import (
	"embed"
	"path"
	"slices"
)

//go:embed deepseek_v4.flag configs/*.json
var files embed.FS

// sourceName is the model's source; every member of the family shares it.
const sourceName = "deepseek_v4.flag"

// members are the names that users write, with their configurations. The family's own name has none: whoever
// uses it brings the config.json of a checkpoint.
var members = []struct{ name, config string }{
	{"deepseek-v4", ""},
	{"deepseek-v4-flash", "configs/flash.json"},
	{"deepseek-v4-pro", "configs/pro.json"},
	{"deepseek-v4-nano", "configs/nano.json"},
}

// Names lists the built-in models: the family without a configuration first, then its members.
func Names() []string {
	names := make([]string, len(members))
	for i, m := range members {
		names[i] = m.name
	}
	return names
}

// Source returns the model's source text and the file name that messages give it.
func Source() (name, text string) { return sourceName, read(sourceName) }

// Config returns the config.json of a member; ok is false for unknown names and for the family's own.
func Config(name string) (text string, ok bool) {
	i := slices.IndexFunc(members, func(m struct{ name, config string }) bool { return m.name == name })
	if i < 0 || members[i].config == "" {
		return "", false
	}
	return read(members[i].config), true
}

// ConfigName is the file name that messages give to the configuration of a member: "flash.json".
func ConfigName(name string) string {
	for _, m := range members {
		if m.name == name && m.config != "" {
			return path.Base(m.config)
		}
	}
	return "config.json"
}

// read returns an embedded file; one that is missing does not compile.
func read(name string) string {
	text, err := files.ReadFile(name)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return string(text)
}
