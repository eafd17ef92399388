package ami

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
	"github.com/pim-tools/terraform-provider-pim/internal/disk"
	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/qemu"
)

// rootDevice is the name that Debian's own AMIs use. On today's instances, where all disks are NVMe, it is just a name.
const rootDevice = "/dev/xvda"

// sameName is how many AMIs of one image and deployment may be there at once.
const sameName = 100

// duplicate is the code of a name that is taken.
const duplicate = "InvalidAMIName.Duplicate"

// amiName is what AWS allows as an AMI's name.
var amiName = regexp.MustCompile(`^[A-Za-z0-9()\[\] ./'@_-]{3,128}$`)

// name is the n-th name for a deployment's AMI: NAME-KEY12, NAME-KEY12-2 and so on.
func name(r deploy.Request, n int) string {
	base := r.Name + "-" + short(r.Image.Key)
	if n == 1 {
		return base
	}
	return fmt.Sprintf("%s-%d", base, n)
}

// bootMode is the settings', or what fits the image: one built to boot by UEFI does so alone; of a disk that merely has
// what UEFI looks for, BIOS may be able to boot it, too.
func (g *generation) bootMode(d *disk.Disk) (types.BootModeValues, error) {
	if g.s.BootMode != "" {
		return types.BootModeValues(g.s.BootMode), nil
	}
	if g.r.Image.Arch == host.ARM64 {
		return types.BootModeValuesUefi, nil // there is no other
	}
	if f := g.r.Image.Firmware; f == qemu.UEFI || f == qemu.UEFISecure {
		return types.BootModeValuesUefi, nil
	}
	esp, err := d.HasESP()
	if err != nil {
		return "", err
	}
	if esp {
		return types.BootModeValuesUefiPreferred, nil
	}
	return types.BootModeValuesLegacyBios, nil
}

// register makes an AMI of the snapshot, and waits until it is available.
func (g *generation) register(ctx context.Context, snapshot string, mode types.BootModeValues) error {
	g.r.Report("registering the AMI", 0, 0)
	in := &ec2.RegisterImageInput{
		Architecture: architecture(g.r.Image.Arch), BootMode: mode, Description: aws.String(g.description()),
		EnaSupport: aws.Bool(true), ImdsSupport: types.ImdsSupportValuesV20, VirtualizationType: aws.String("hvm"),
		RootDeviceName: aws.String(rootDevice),
		BlockDeviceMappings: []types.BlockDeviceMapping{{DeviceName: aws.String(rootDevice), Ebs: &types.EbsBlockDevice{
			SnapshotId: aws.String(snapshot), VolumeType: types.VolumeTypeGp3, DeleteOnTermination: aws.Bool(true),
		}}},
	}
	if g.r.Image.TPM {
		in.TpmSupport = types.TpmSupportValuesV20
	}
	id, err := g.registerNamed(ctx, in)
	if err != nil {
		return fmt.Errorf("cannot register %s as an AMI: %w", snapshot, unreachable(err))
	}
	g.exists(g.s.Region, id, "")
	_, err = g.available(ctx, g.s.Region, id)
	return err
}

// registerNamed registers under the first name that is free. RegisterImage knows no client token. But names are unique,
// so where an answer got lost, the next try meets the AMI that the first one made.
func (g *generation) registerNamed(ctx context.Context, in *ec2.RegisterImageInput) (string, error) {
	send, cancel := deploy.Lasting(ctx)
	defer cancel()
	err := error(nil)
	for n := 1; n <= sameName && ctx.Err() == nil; n++ {
		g.have.Name = name(g.r, n)
		in.Name, in.TagSpecifications = aws.String(g.have.Name), tagged(g.unfinished(), types.ResourceTypeImage)
		seen := &witness{}
		var out *ec2.RegisterImageOutput
		out, err = g.ec2(g.s.Region).RegisterImage(send, in, func(o *ec2.Options) { o.Retryer = seen.of(o.Retryer) })
		if err == nil {
			return aws.ToString(out.ImageId), nil
		}
		if code(err) != duplicate {
			return "", err
		}
		if seen.lost {
			if id, e := g.registered(send); id != "" || e != nil {
				return id, e
			}
		}
	}
	return "", errors.Join(ctx.Err(), err)
}

// registered finds the AMI with the generation's name and tag, "" when there is none after a while.
func (g *generation) registered(ctx context.Context) (id string, err error) {
	began := time.Now()
	err = g.poll(ctx, "the AMI "+g.have.Name, func() (bool, string, error) {
		mine, err := g.images(ctx, g.s.Region, with("tag:"+tagGeneration, g.id), with("name", g.have.Name))
		if err == nil && len(mine) > 0 {
			id = aws.ToString(mine[0].ImageId)
		}
		return id != "" || time.Since(began) > g.settle, "nothing yet", err
	})
	return id, err
}

func architecture(a host.Arch) types.ArchitectureValues {
	if a == host.ARM64 {
		return types.ArchitectureValuesArm64
	}
	return types.ArchitectureValuesX8664
}

// available waits until an AMI is available.
func (t *target) available(ctx context.Context, region, id string) (*types.Image, error) {
	began := time.Now()
	var image *types.Image
	err := t.poll(ctx, fmt.Sprintf("%s in %s to be available", id, region), func() (bool, string, error) {
		i, err := t.image(ctx, region, id)
		switch {
		case errors.Is(err, deploy.ErrNotFound) && time.Since(began) < t.settle:
			return false, "nothing yet", nil
		case err != nil:
			return false, "", err
		}
		switch image = i; i.State {
		case types.ImageStateAvailable:
			return true, "", nil
		case types.ImageStatePending:
			return false, string(i.State), nil
		}
		reason := ""
		if i.StateReason != nil {
			reason = aws.ToString(i.StateReason.Message)
		}
		return false, "", fmt.Errorf("%s in %s is %s: %s", id, region, i.State, reason)
	})
	return image, err
}
