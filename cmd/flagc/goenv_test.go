package main

import (
	"os"
	"os/exec"
	"strings"
)

// goEnv is a variable as the Go tool sees it.
func goEnv(name string) string {
	if v := os.Getenv(name); v != "" || name == "HOME" {
		return v
	}
	out, err := exec.Command("go", "env", name).Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}
