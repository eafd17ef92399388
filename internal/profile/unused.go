package profile

// Unused names the settings of pim.yml that are set and that nothing acts on yet, such as "iso.iso_dir": whoever
// set one expects something of it.
func (c *Config) Unused() []string {
	s := c.Settings
	var names []string
	for _, setting := range []struct {
		name string
		set  bool
	}{
		{"serve.profile", s.Serve.Profile != ""},
		{"serve.port", s.Serve.Port != 0},
		{"iso.iso_dir", s.ISODir != ""},
		{"build.image_dir", s.ImageDir != ""},
		{"build.ssh.user", s.SSHUser != ""},
		{"build.ssh.port", s.SSHPort != 0},
	} {
		if setting.set {
			names = append(names, setting.name)
		}
	}
	return names
}
