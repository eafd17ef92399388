package proxmox

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
)

// generation is a template in the making.
type generation struct {
	*target
	at     *site
	r      deploy.Request
	marker marker
	wants  deploy.Platform
	begun  bool     // its VM may exist
	before []string // volumes that its id had already
}

// Deploy uploads the image, imports it as the disk of a new VM, and makes that a template. Until the end its notes say
// that it is unfinished.
func (t *target) Deploy(ctx context.Context, r deploy.Request) (*deploy.Result, error) {
	if err := checkArch(r.Image.Arch); err != nil {
		return nil, err
	}
	wants, err := platformOf(r.Image)
	if err != nil {
		return nil, err
	}
	at, err := t.survey(ctx, t.client)
	if err != nil {
		return nil, err
	}
	if err := t.fits(at, r); err != nil {
		return nil, err
	}
	vms, err := t.vms(ctx)
	if err != nil {
		return nil, err
	}
	t.removeUnfinished(ctx, r, vms)
	g := &generation{target: t, at: at, r: r, wants: wants, marker: marker{
		Name: r.Name, Key: r.Image.Key, Profile: r.Image.Profile, UUID: newUUID(),
		DeployedAt: time.Now().UTC().Truncate(time.Second), Unfinished: true,
	}}
	if err := g.make(ctx, vms); err != nil {
		left, undo := g.undo(ctx)
		return left, errors.Join(err, undo)
	}
	t.collect(ctx, vms)
	return g.marker.result(at.node), nil
}

// fits is the first problem that would only show after the upload.
func (t *target) fits(at *site, r deploy.Request) error {
	for _, p := range append(t.checkWay(at), t.checkStorages(at, r)...) {
		if !p.Warning {
			return &deploy.FieldError{Field: p.Field, Err: errors.New(p.String())}
		}
	}
	return nil
}

func (g *generation) make(ctx context.Context, vms []object) error {
	up, err := g.newUpload(ctx, g.at, g.r)
	if err != nil {
		return err
	}
	err = up.stage(ctx)
	defer func() { up.unstage(ctx, err != nil) }()
	if err != nil {
		return err
	}
	source, err := g.source(ctx, up)
	if err != nil {
		return err
	}
	if g.s.TemplateID != 0 {
		err = g.clear(ctx)
	}
	if err == nil {
		err = g.create(ctx, vms, source)
	}
	if err == nil {
		err = g.finish(ctx)
	}
	return err
}

// source is what the disk is imported from.
func (g *generation) source(ctx context.Context, up *upload) (string, error) {
	switch w := g.at.way; {
	case w.wrapped:
		return up.volume() + "/" + innerDisk, nil
	case w.asRoot:
		var volume object
		path := "/nodes/" + g.at.node + "/storage/" + g.s.ImportStorage + "/content/" + url.PathEscape(up.volume())
		if err := g.get(ctx, path, nil, &volume); err != nil {
			return "", fmt.Errorf("cannot find the uploaded file: %w", err)
		}
		return volume["path"], nil
	}
	return up.volume(), nil
}

// finish makes the VM a template and then says so. Once begun it is done, though ctx ends: to undo takes as long.
func (g *generation) finish(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	ctx, cancel := deploy.Lasting(ctx)
	defer cancel()
	g.r.Report("template", 0, 0)
	id := g.marker.VMID
	upid, err := g.change(ctx, http.MethodPost, vmPath(g.at.node, id)+"/template", nil,
		g.became(g.at.node, id, "qmtemplate", func(config object) bool { return config.is("template") }))
	if err == nil {
		_, err = g.await(ctx, upid)
	}
	if err != nil {
		return fmt.Errorf("cannot make VM %d a template: %w", id, err)
	}
	done := g.marker
	done.Unfinished = false
	if err := g.configure(ctx, g.at.node, id, map[string]string{"description": done.notes()}); err != nil {
		return err
	}
	g.marker = done
	return nil
}
