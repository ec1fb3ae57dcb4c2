package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/masterpb"
	"github.com/stoa-project/stoa/proto/resource"
)

// converted is what an operator's operation has made, as --json shows it.
type converted struct {
	SlaveID   string  `json:"slave_id"`
	Role      string  `json:"role"`
	Resources amounts `json:"resources"`
}

func newReserve(std stdio) *cobra.Command {
	var flags operatorFlags
	var role, principal string
	command := &cobra.Command{
		Use:     "reserve SLAVE RESOURCES --role ROLE",
		GroupID: groupLook,
		Short:   "Reserve resources of a slave for a role",
		Long: `Reserves resources of a slave for a role and the roles below it: nobody else is offered them until they are
unreserved. What is in use cannot be reserved; offers that are in the way are taken back. SLAVE is an id, the
end of it as in S0, or a host name. Reservations last as long as the slave's process.`,
		Example: `  stoa reserve node1.example.org 'cpus:2;mem:1024' --role db
  stoa reserve node1.example.org disk:500 --role db --principal alice`,
		Args: twoArgs("slave", "resources"),
		RunE: func(command *cobra.Command, args []string) error {
			need, err := parseOperands(args[1], role)
			if err != nil {
				return err
			}
			return flags.convert(command.Context(), std, args[0], func(slave *operand) (*masterpb.Call, converted, error) {
				reserved := need.Reserve(resource.Reservation{Role: role, Principal: principal}).ToProto()
				return &masterpb.Call{Type: masterpb.Call_RESERVE_RESOURCES.Enum(), ReserveResources: &masterpb.Call_ReserveResources{
					AgentId: slave.id, Resources: reserved,
				}}, converted{slave.id.GetValue(), role, newAmounts(reserved)}, nil
			}, "Accepted: %v of slave %s is reserved for role %s.", need, args[0], role)
		},
	}
	flags.add(command.Flags())
	command.Flags().StringVar(&role, "role", "", "`ROLE` to reserve for")
	command.Flags().StringVar(&principal, "principal", "", "`NAME` of who reserves; it is kept with the reservation")
	return withSettings(command)
}

func newUnreserve(std stdio) *cobra.Command {
	var flags operatorFlags
	var role string
	command := &cobra.Command{
		Use:     "unreserve SLAVE RESOURCES --role ROLE",
		GroupID: groupLook,
		Short:   "Undo reservations of a slave's resources",
		Long: `Undoes what 'stoa reserve' or a framework has reserved for a role. What a slave was started with, as in
--resources 'cpus(db):2', stays reserved. Persistent volumes must be destroyed first.`,
		Example: `  stoa unreserve node1.example.org 'cpus:2;mem:1024' --role db
  stoa unreserve --master 10.0.0.1:5050 node1.example.org disk:500 --role db`,
		Args: twoArgs("slave", "resources"),
		RunE: func(command *cobra.Command, args []string) error {
			need, err := parseOperands(args[1], role)
			if err != nil {
				return err
			}
			return flags.convert(command.Context(), std, args[0], func(slave *operand) (*masterpb.Call, converted, error) {
				own := slave.reserved(role)
				reserved, ok := own.Dynamic().Take(need)
				if own.IsEmpty() {
					return nil, converted{}, fmt.Errorf("slave %s has nothing reserved for role %q", args[0], role)
				}
				if !ok {
					return nil, converted{}, fmt.Errorf("slave %s has %s reserved for role %q, and of that %s can be undone: not %v",
						args[0], orNone(own), role, orNone(own.Dynamic()), need)
				}
				return &masterpb.Call{Type: masterpb.Call_UNRESERVE_RESOURCES.Enum(), UnreserveResources: &masterpb.Call_UnreserveResources{
					AgentId: slave.id, Resources: reserved.ToProto(),
				}}, converted{slave.id.GetValue(), role, newAmounts(reserved.ToProto())}, nil
			}, "Accepted: %v of slave %s is not reserved any more.", need, args[0])
		},
	}
	flags.add(command.Flags())
	command.Flags().StringVar(&role, "role", "", "`ROLE` that they are reserved for")
	return withSettings(command)
}

// parseOperands reads resources that are to be reserved for a role, or not any more.
func parseOperands(text, role string) (resource.Resources, error) {
	if role == "" || role == mesos.DefaultRole {
		return resource.Resources{}, usageError("--role %q: name the role that the reservation is for", role)
	}
	if err := mesos.ValidateRole(role); err != nil {
		return resource.Resources{}, usageError("--role: %v", err)
	}
	r, err := resource.Parse(text)
	switch {
	case err != nil:
		return r, usageError("%v", err)
	case r.IsEmpty():
		return r, usageError("%q names no resources; for example 'cpus:2;mem:1024'", text)
	case !r.Equal(r.Unreserved()):
		return r, usageError("%q has roles in it; write cpus:2 and give the role by --role", text)
	}
	return r, nil
}

// operand is a slave whose resources are to be converted.
type operand struct {
	id    *mesos.AgentID
	total resource.Resources
}

// reserved is what is reserved for a role and no persistent volume.
func (o *operand) reserved(role string) resource.Resources {
	return o.total.ReservedFor(role).Filter(resource.Resource.Divisible)
}

func orNone(r resource.Resources) string {
	if r.IsEmpty() {
		return "nothing"
	}
	return r.String()
}

// convert has the master accept an operation that prepare makes up of what a slave has, and says so. The slave carries it out, and
// tells nobody: an operator's operation has no id.
func (f *operatorFlags) convert(
	ctx context.Context, std stdio, slave string, prepare func(*operand) (*masterpb.Call, converted, error), format string, args ...any,
) error {
	found, err := f.findNode(ctx, slave)
	if err != nil {
		return err
	}
	total, err := resource.FromProto(found.GetTotalResources())
	if err != nil {
		return fmt.Errorf("slave %s: %w", slave, err)
	}
	call, done, err := prepare(&operand{found.GetAgentInfo().GetId(), total})
	if err != nil {
		return err
	}
	return f.change(ctx, std, call, done, format, args...)
}
