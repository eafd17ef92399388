package provider

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// directory is one folder the provider is told about: where its name may come from, in this order.
type directory struct {
	attribute string // the provider's attribute
	env       string // environment variable, "" for none
	fallback  string // default, "" for none
}

// The provider's folders.
var (
	configDir  = directory{attribute: "config_dir", env: "PIM_CONFIG_DIR", fallback: "~/.config/pim"}
	projectDir = directory{attribute: "project_dir"}
	dataDir    = directory{attribute: "data_dir", env: "PIM_DATA_DIR", fallback: "~/.local/share/pim"}
	cacheDir   = directory{attribute: "cache_dir", env: "PIM_CACHE_DIR", fallback: "~/.cache/pim"}
)

// envHTTPProxy gives http_proxy when the configuration does not.
const envHTTPProxy = "PIM_HTTP_PROXY"

// environment is what the folders' names depend on besides the configuration.
type environment struct {
	getenv func(string) string
	home   func() (string, error)
}

func systemEnvironment() environment { return environment{getenv: os.Getenv, home: os.UserHomeDir} }

// resolve returns the folder's absolute path, or "" when neither the configuration, the environment nor a default
// names one.
func (d directory) resolve(configured string, env environment) (string, error) {
	dir := configured
	if dir == "" && d.env != "" {
		dir = env.getenv(d.env)
	}
	if dir == "" {
		dir = d.fallback
	}
	if dir == "" {
		return "", nil
	}
	dir, err := absolute(dir, env.home)
	if err != nil {
		return "", fmt.Errorf("cannot resolve %s: %w", d.attribute, err)
	}
	return dir, nil
}

// absolute is the absolute path of one that may begin with ~ or be relative to the working directory.
func absolute(path string, home func() (string, error)) (string, error) {
	path, err := expandHome(path, home)
	if err != nil {
		return "", err
	}
	return filepath.Abs(path)
}

// expandHome replaces a leading ~ by the home directory. ~user is refused rather than taken for a folder's name.
func expandHome(path string, home func() (string, error)) (string, error) {
	rest, ok := strings.CutPrefix(path, "~")
	if !ok {
		return path, nil
	}
	if rest != "" && rest[0] != '/' {
		return "", fmt.Errorf("%q: only your own home directory can be written as ~", path)
	}
	dir, err := home()
	if err != nil {
		return "", err
	}
	if dir == "" {
		return "", errors.New("the home directory is not known")
	}
	return filepath.Join(dir, rest), nil
}
