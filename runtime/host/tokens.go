package host

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"flagc/runtime/strictjson"
)

// ParseTokens reads token ids: separated by commas, rows of a batch by semicolons ("1,2;3,4"), or "@FILE" for a
// JSON array, or array of arrays. Rows must have equal length and ids must lie below vocab.
func ParseTokens(text string, vocab int) ([][]int32, error) {
	rows, err := readTokens(text)
	if err != nil {
		return nil, err
	}
	for i, row := range rows {
		if len(row) != len(rows[0]) {
			return nil, fmt.Errorf("row %d has %d tokens and row 0 has %d; the rows of a batch must be equally long",
				i, len(row), len(rows[0]))
		}
		for j, id := range row {
			if id < 0 || int(id) >= vocab {
				return nil, fmt.Errorf("token %d (row %d, place %d) is outside the vocabulary of %d tokens", id, i, j, vocab)
			}
		}
	}
	if len(rows) == 0 || len(rows[0]) == 0 {
		return nil, fmt.Errorf("there are no tokens; at least one is needed")
	}
	return rows, nil
}

func readTokens(text string) ([][]int32, error) {
	if path, ok := strings.CutPrefix(text, "@"); ok {
		return readTokenFile(path)
	}
	var rows [][]int32
	for _, line := range strings.Split(text, ";") {
		var row []int32
		for _, word := range strings.Split(line, ",") {
			id, err := strconv.ParseInt(strings.TrimSpace(word), 10, 32)
			if err != nil {
				return nil, fmt.Errorf("%q is not a token id; expected numbers such as 0,1,2", strings.TrimSpace(word))
			}
			row = append(row, int32(id))
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func readTokenFile(path string) ([][]int32, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	doc, err := strictjson.Parse(text, strictjson.Limits{})
	if err != nil {
		return nil, fmt.Errorf("%s:%w", path, err)
	}
	items, err := doc.Items()
	if err != nil {
		return nil, fmt.Errorf("%s:%w", path, err)
	}
	if len(items) == 0 || items[0].Kind() != strictjson.Array {
		items = []strictjson.Value{doc}
	}
	rows := make([][]int32, len(items))
	for i, item := range items {
		ids, err := item.Ints()
		if err != nil {
			return nil, fmt.Errorf("%s:%w", path, err)
		}
		for _, id := range ids {
			if int(int32(id)) != id {
				return nil, fmt.Errorf("%s: %d is not a token id", path, id)
			}
			rows[i] = append(rows[i], int32(id))
		}
	}
	return rows, nil
}
