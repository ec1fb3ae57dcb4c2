package client

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/proto/wire"
)

// slaveName is the name under which every slave's actor is registered.
const slaveName = "slave"

// Statistics asks the slave at the client's address what its containers use now.
func (c *Client) Statistics(ctx context.Context) (*wire.ContainerStatistics, error) {
	answer, err := c.askSlave(ctx, &wire.GetStatistics{})
	if err != nil {
		return nil, err
	}
	statistics, ok := answer.(*wire.ContainerStatistics)
	if !ok {
		return nil, fmt.Errorf("the slave at %s answered with %T", c.address, answer)
	}
	return statistics, nil
}

// DiskUsage asks the slave at the client's address what its sandboxes take. It may take a while.
func (c *Client) DiskUsage(ctx context.Context) (*wire.DiskUsage, error) {
	answer, err := c.askSlave(ctx, &wire.GetDiskUsage{})
	if err != nil {
		return nil, err
	}
	usage, ok := answer.(*wire.DiskUsage)
	if !ok {
		return nil, fmt.Errorf("the slave at %s answered with %T", c.address, answer)
	}
	return usage, nil
}

func (c *Client) askSlave(ctx context.Context, message proto.Message) (any, error) {
	answer, err := c.system.Ask(ctx, actor.At(c.address, slaveName), message)
	if refused, ok := answer.(*wire.Refused); ok {
		return nil, fmt.Errorf("the slave refused: %s", refused.GetReason())
	}
	if err != nil {
		return nil, fmt.Errorf("no answer from the slave at %s: %w", c.address, err)
	}
	return answer, nil
}
