package pvetest

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
)

var renewFrom = flag.String("schemas", "", "folder of Proxmox VE API schemas to renew testdata/schemas.json.gz from")

// TestSchemas wants every pattern and format of every version to be one that the server can check.
func TestSchemas(t *testing.T) {
	if *renewFrom != "" {
		renewSchemas(t, *renewFrom)
		t.Skip("renewed; run the tests again")
	}
	for _, version := range []string{"8.2", "8.3", "8.4", "9.2"} {
		list, err := endpoints(version)
		if err != nil {
			t.Fatal(err)
		}
		if e, _ := find(list, "POST", "/nodes/pve1/qemu"); e == nil || e.Parameters.Properties["scsi30"] == nil {
			t.Errorf("%s: no POST /nodes/{node}/qemu with scsi30", version)
		}
		for _, e := range list {
			for name, p := range e.Parameters.Properties {
				checkable(t, version+" "+e.Method+" "+e.Path+" "+name, p)
			}
		}
	}
}

func checkable(t *testing.T, name string, p *property) {
	t.Helper()
	if p.Pattern != "" {
		if _, err := pattern(p.Pattern); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if p.Format.Name != "" && !knownFormat(p.Format.Name) {
		t.Errorf("%s: unknown format %s", name, p.Format.Name)
	}
	for key, sub := range p.Format.Keys {
		checkable(t, name+"."+key, sub)
	}
}

func renewSchemas(t *testing.T, folder string) {
	t.Helper()
	all := map[string][]endpoint{}
	for version, file := range map[string]string{
		"8.2": "pve-api-schema-8.2.json", "8.3": "pve-api-schema-8.3.json", "8.4": "pve-api-schema-8.4.json",
		"9.2": "pve-api-schema.json",
	} {
		data, err := os.ReadFile(filepath.Join(folder, file))
		if err != nil {
			t.Fatal(err)
		}
		var schema struct{ Endpoints []endpoint }
		if err := json.Unmarshal(data, &schema); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all[version] = schema.Endpoints
	}
	data, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := z.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("testdata/schemas.json.gz", out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}
