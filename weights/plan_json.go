package weights

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
)

// planJSON is the form of weights.json. Offsets count from where the data of a file begins. A name with '*'
// stands for count tensors of equal size, one behind the other; a rank that has a part of that axis begins with the
// number of its first.
type planJSON struct {
	Layout  FileLayout  `json:"layout"`
	Model   string      `json:"model"`
	Mesh    string      `json:"mesh,omitempty"`
	Ranks   int         `json:"ranks"`
	Files   []fileJSON  `json:"files"`
	Tensors []*partJSON `json:"-"` // written one to a line
}

type fileJSON struct {
	Name  string `json:"name"`
	Data  int64  `json:"data"`
	Bytes int64  `json:"bytes"`
}

type partJSON struct {
	Name    string     `json:"name"`
	Count   int        `json:"count,omitempty"`
	From    []string   `json:"from"`
	Convert Conversion `json:"convert"`
	DType   string     `json:"dtype"`
	Shape   []int      `json:"shape"`
	File    string     `json:"file,omitempty"` // of a release; tensors of ranks are in every file
	Offset  int64      `json:"offset"`
	Bytes   int64      `json:"bytes"` // of one tensor
	Index   *cutJSON   `json:"index,omitempty"`
	Rows    *cutJSON   `json:"rows,omitempty"`
	Columns *cutJSON   `json:"columns,omitempty"`
}

// cutJSON says that a rank has one of equal parts of an axis: by its place among all ranks, or along one axis of
// the mesh.
type cutJSON struct {
	Parts int    `json:"parts"`
	Of    int    `json:"of"` // elements of the whole axis
	Over  string `json:"over,omitempty"`
}

func (c Cut) json() *cutJSON {
	if c.Parts < 2 {
		return nil
	}
	return &cutJSON{c.Parts, c.Size, c.Over}
}

// JSON is the content of weights.json, the same bytes for the same plan: a head, and a line for each tensor or
// row of equal tensors.
func (p *Plan) JSON() ([]byte, error) {
	head := planJSON{Layout: p.Layout, Model: p.Model, Mesh: p.Mesh.String(), Ranks: p.Ranks()}
	for _, f := range p.Files {
		head.Files = append(head.Files, fileJSON{f.Name, f.Data, f.Bytes})
	}
	text, err := json.MarshalIndent(head, "", "  ")
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.Write(bytes.TrimSuffix(text, []byte("\n}")))
	b.WriteString(",\n  \"tensors\": [")
	mark := "\n"
	for _, it := range p.Items {
		for i := range it.Parts {
			line, err := json.Marshal(p.partJSON(it, i))
			if err != nil {
				return nil, err
			}
			b.WriteString(mark + "    ")
			b.Write(line)
			mark = ",\n"
		}
	}
	b.WriteString("\n  ]\n}\n")
	return b.Bytes(), nil
}

func (p *Plan) partJSON(it *Item, i int) partJSON {
	part := it.Parts[i]
	j := partJSON{Name: part.Name, Convert: it.Conversion, DType: part.DType, Shape: part.Shape, Offset: part.Offset,
		Bytes: part.Bytes, Index: it.Index.json(), Rows: it.Rows.json(), Columns: it.Cols.json()}
	if it.Weight.IsMany() {
		j.Count = it.Count()
	}
	if it.File >= 0 {
		j.File = p.Files[it.File].Name
	}
	for k, s := range it.Source {
		if it.Conversion != Keep || k == i {
			j.From = append(j.From, s.Name)
		}
	}
	return j
}

// Digest names the plan by its content.
func (p *Plan) Digest() (string, error) {
	text, err := p.JSON()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}
