package frontend

import (
	"errors"
	"path/filepath"
	"strings"

	"flagc/internal/diag"
	"flagc/ir"
	"flagc/runtime/strictjson"
)

// config reads one config.json through the model's config block.
type config struct {
	*frame
	file string // the name in messages
	text *source
	root strictjson.Value
	keys map[string]string // the key behind each name
}

// configure binds the names of the config block. A configuration of another architecture is refused first and
// alone, since whatever else would be said about it is beside the point.
func (e *elaborator) configure(cfg Source) {
	c := &config{
		frame: &frame{elaborator: e, scope: e.globals},
		file:  filepath.Base(cfg.Name), text: newSource(cfg), keys: map[string]string{},
	}
	root, err := strictjson.Parse([]byte(cfg.Text), strictjson.Limits{MaxBytes: 1 << 20})
	if err != nil {
		c.jsonError(err)
		return
	}
	c.root = root
	if root.Kind() != strictjson.Object {
		c.report(c.place(root), "a configuration is a JSON object, not %s", root.Kind())
		return
	}
	var items []*ConfigItem
	for _, d := range e.file.Decls {
		if d.Config != nil {
			items = append(items, d.Config.Items...)
		}
	}
	if !c.sameArchitecture(items) {
		return
	}
	for _, item := range items {
		switch {
		case item.Expect != nil:
			c.expect(item.Expect)
		case item.Setting != nil:
			c.setting(item.Setting)
		}
	}
}

// sameArchitecture checks the model's type and the keys that must not be there.
func (c *config) sameArchitecture(items []*ConfigItem) bool {
	for _, item := range items {
		switch {
		case item.Expect != nil && item.Expect.Key.Text == "model_type":
			v := c.root.Get("model_type")
			got, err := v.Str()
			want := ""
			if item.Expect.Value.String != nil {
				want = *item.Expect.Value.String
			}
			if err == nil && got == want {
				continue
			}
			if !v.Exists() {
				c.missing(item.Expect.Key, "describes models where it is "+c.src.text(item.Expect.Value.node))
				return false
			}
			c.report(c.place(v), "this configures a %s model, which %s does not describe: it describes %s",
				c.textOf(v), c.src.name, show(want)).WithNote(c.span(item.node), "required here")
			return false
		case item.Refuse != nil:
			v := c.root.Get(item.Refuse.Key.Text)
			if !v.Exists() || v.Kind() == strictjson.Null {
				continue
			}
			c.report(c.place(v), "the configuration has %s, which %s does not describe: %s",
				item.Refuse.Key.Text, c.src.name, item.Refuse.Why).WithNote(c.span(item.node), "refused here")
			return false
		}
	}
	return true
}

// expect checks a key that the model takes for granted.
func (c *config) expect(x *Expect) {
	v := c.root.Get(x.Key.Text)
	if !v.Exists() {
		if x.Default == nil {
			c.missing(x.Key, "expects it to be "+c.src.text(x.Value.node))
		} else if c.src.text(x.Default.node) != c.src.text(x.Value.node) {
			c.fail(x.node, "the default of %s is not what is expected", x.Key.Text)
		}
		return
	}
	if !matches(x.Value, v) {
		c.report(c.place(v), "%s is %s, but %s describes only models where it is %s", x.Key.Text, c.textOf(v),
			c.src.name, c.src.text(x.Value.node)).WithNote(c.span(x.node), "required here")
	}
}

// setting binds one name.
func (c *config) setting(s *Setting) {
	if !c.declare(s.Name, nil) {
		return
	}
	n := &entity{at: c.span(s.node), bad: true}
	// A name may equal its key, so it is bound after its right side is read.
	defer func() { c.scope.set(s.Name.Text, n) }()
	key := s.From.name()
	if key == nil {
		c.derived(s, n)
		return
	}
	c.keys[s.Name.Text] = key.Text
	v := c.root.Get(key.Text)
	if !v.Exists() {
		c.absent(s, key, n)
		return
	}
	switch {
	case s.Length != nil:
		c.listValue(s, key, v, n)
	case s.Float:
		x, err := v.Float()
		if err != nil {
			c.refuse(s, v, "%s must be a number, but is %s", key.Text, c.textOf(v))
			return
		}
		n.static, n.bad = x, !c.checkFloat(s, key, v, x)
	default:
		k, ok := c.int(s, v)
		if ok = ok && c.checkInt(s, v, k); ok {
			c.define(s, n, k)
		}
	}
}

// define binds a name to an integer, which types may use.
func (c *config) define(s *Setting, n *entity, k int) {
	n.static, n.bad = named(s.Name.Text, k), false
	c.mod.Dims = append(c.mod.Dims, ir.NamedSize{Name: s.Name.Text, Value: k})
}

// derived computes an integer, which types may use, or another number from values read before.
func (c *config) derived(s *Setting, n *entity) {
	if len(s.Rules) > 0 || s.Length != nil || s.Float {
		c.fail(s.node, "%s is computed, so nothing about it can be demanded of config.json", s.Name.Text)
		return
	}
	value, ok := c.static(c.eval(s.From), s.From.node, s.Name.Text)
	if !ok {
		return
	}
	if number, ok := value.(float64); ok {
		n.static, n.bad = number, false
		return
	}
	v, ok := value.(integer)
	if !ok {
		c.fail(s.From.node, "%s must be a number, but %s is %s", s.Name.Text, c.src.text(s.From.node), kindOf(value))
		return
	}
	k, fixed := v.size.IsConst()
	if !fixed || k < 0 {
		c.fail(s.From.node, "%s must be a fixed size, not %s", s.Name.Text, show(v))
		return
	}
	c.define(s, n, k)
}

// absent binds the default of a key that is not there.
func (c *config) absent(s *Setting, key *Name, n *entity) {
	for _, r := range s.Rules {
		if r.Default == nil {
			continue
		}
		v, ok := literalNumber(r.Default)
		switch {
		case !ok || s.Length != nil || !s.Float && v != float64(int(v)):
			c.fail(r.node, "the default of %s is no number of its kind", s.Name.Text)
		case s.Float:
			n.static, n.bad = v, false
		default:
			c.define(s, n, int(v))
		}
		return
	}
	c.missing(key, "needs it for "+s.Name.Text)
}

// missing reports a key that is not there, at the line of the model that wants it.
func (c *config) missing(key *Name, why string) {
	parent, last := c.root, key.Text
	if i := strings.LastIndexByte(last, '.'); i >= 0 {
		parent, last = c.root.Get(last[:i]), last[i+1:]
	}
	d := c.report(c.span(key.node), "%s has no key %s, and %s %s", c.file, key.Text, c.src.name, why)
	if near := diag.Nearest(last, parent.Keys()); near != "" {
		d.WithNote(c.place(parent.Field(near)), "it has %s", near)
		d.WithHelp("did you mean %s in %s?", near, c.file)
		return
	}
	d.WithHelp("add %s to %s", key.Text, c.file)
}

// place is where a JSON value stands.
func (c *config) place(v strictjson.Value) diag.Span {
	at := diag.Span{File: c.file, Line: int(v.Pos.Line), Col: int(v.Pos.Column)}
	at.EndCol = at.Col + max(1, len(c.textOf(v)))
	return at
}

// textOf is a JSON value as it is written, brackets alone for arrays and objects.
func (c *config) textOf(v strictjson.Value) string {
	if int(v.Pos.Line) > len(c.text.lines) || v.Pos.Line < 1 {
		return ""
	}
	line := c.text.lines[v.Pos.Line-1]
	rest := line[min(len(line), int(v.Pos.Column)-1):]
	switch v.Kind() {
	case strictjson.Array, strictjson.Object:
		if i := strings.IndexAny(rest, "]}"); i >= 0 {
			return rest[:i+1]
		}
		return rest[:min(1, len(rest))]
	case strictjson.String:
		for i := 1; i < len(rest); i++ {
			if rest[i] == '\\' {
				i++
			} else if rest[i] == '"' {
				return rest[:i+1]
			}
		}
	default:
		if i := strings.IndexAny(rest, ",]} \t\r"); i >= 0 {
			return rest[:i]
		}
	}
	return rest
}

// jsonError reports a document that cannot be read.
func (c *config) jsonError(err error) {
	var at *strictjson.Error
	if !errors.As(err, &at) {
		c.report(diag.Span{File: c.file}, "%v", err)
		return
	}
	span := diag.Span{File: c.file, Line: int(at.Pos.Line), Col: int(at.Pos.Column)}
	span.EndCol = span.Col + 1
	message := at.Msg
	if at.Reason == strictjson.Syntax {
		message = "not JSON: " + message
	}
	if at.Path != "" {
		message = at.Path + ": " + message
	}
	c.report(span, "%s", message)
}
