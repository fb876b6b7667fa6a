package deepseekv4

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestMembers checks that every member but the family itself has a configuration of this architecture.
func TestMembers(t *testing.T) {
	require.Equal(t, []string{"deepseek-v4", "deepseek-v4-flash", "deepseek-v4-pro", "deepseek-v4-nano"}, Names())
	for _, name := range Names() {
		text, ok := Config(name)
		require.Equal(t, name != "deepseek-v4", ok, name)
		if !ok {
			require.Equal(t, "config.json", ConfigName(name))
			continue
		}
		require.Equal(t, strings.TrimPrefix(name, "deepseek-v4-")+".json", ConfigName(name))
		var config struct {
			ModelType string `json:"model_type"`
		}
		require.NoError(t, json.Unmarshal([]byte(text), &config), name)
		require.Equal(t, "deepseek_v4", config.ModelType, name)
	}
	_, ok := Config("deepseek-v3")
	require.False(t, ok)
}

func TestSource(t *testing.T) {
	name, text := Source()
	require.Equal(t, "deepseek_v4.flag", name)
	require.Contains(t, text, "\nmodel deepseek_v4\n")
}
