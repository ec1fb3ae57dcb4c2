package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/actor/remote"
	"github.com/stoa-project/stoa/master/api/client"
	"github.com/stoa-project/stoa/proto/wire"
)

// peersActor answers an operator's question who is connected with this daemon.
func (d *daemon) peersActor() actor.Actor {
	return actor.Func(func(ctx actor.Context) {
		if _, asked := ctx.Message().(*wire.ListPeers); asked {
			ctx.Reply(d.peers())
		}
	})
}

func (d *daemon) peers() *wire.Peers {
	stats := d.remote.Stats()
	answer := &wire.Peers{
		Node: d.system.Node(), UnknownTypes: stats.UnknownTypes, RefusedMessages: stats.RefusedMessages, HandshakesClosed: stats.HandshakesClosed,
	}
	for _, p := range d.remote.Peers() {
		answer.Peers = append(answer.Peers, newWirePeer(p))
	}
	return answer
}

func newWirePeer(p remote.Peer) *wire.Peer {
	made := &wire.Peer{
		Node: p.Node, Incarnation: p.Incarnation, Role: string(p.Role), Address: p.Remote.String(), Dialled: p.Dialled,
		SinceUnixNanos: p.Since.UnixNano(), SentMessages: p.SentMessages, SentBytes: p.SentBytes,
		ReceivedMessages: p.ReceivedMessages, ReceivedBytes: p.ReceivedBytes,
		QueuedMessages: int64(p.QueuedMessages), QueuedBytes: int64(p.QueuedBytes), RoundTripNanos: int64(p.RoundTrip), LastError: p.LastError,
	}
	if p.Certificate != nil {
		made.Certificate = p.Certificate.Subject.CommonName
	}
	return made
}

// peer is a connection as --json shows it.
type peer struct {
	Node             string  `json:"node"`
	Incarnation      uint64  `json:"incarnation,string"` // more digits than other languages' numbers have
	Role             string  `json:"role"`
	Address          string  `json:"address"`
	Dialled          bool    `json:"dialled"`
	Certificate      string  `json:"certificate,omitempty"`
	AgeSeconds       float64 `json:"age_seconds"`
	SentMessages     int64   `json:"sent_messages"`
	SentBytes        int64   `json:"sent_bytes"`
	ReceivedMessages int64   `json:"received_messages"`
	ReceivedBytes    int64   `json:"received_bytes"`
	QueuedMessages   int64   `json:"queued_messages"`
	QueuedBytes      int64   `json:"queued_bytes"`
	RoundTripSeconds float64 `json:"round_trip_seconds"`
	LastError        string  `json:"last_error,omitempty"`
}

func newOperator(std stdio) *cobra.Command {
	return group("operator", "The daemons themselves", groupLook, newOperatorPeers(std))
}

func newOperatorPeers(std stdio) *cobra.Command {
	var flags operatorFlags
	var slave string
	command := &cobra.Command{
		Use:   "peers",
		Short: "List the connections of a master or a slave",
		Long: `Lists who is connected with a master (or, with --slave, a slave), and what has gone over each connection
since it began. The same figures are in its /metrics.`,
		Example: `  stoa operator peers
  stoa operator peers --slave 127.0.0.1:5051
  stoa operator peers --json | jq -r '.[] | select(.role=="slave") | .address'`,
		Args: noArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			address := flags.master
			if slave != "" {
				address = slave
			}
			answer, err := flags.askPeers(command.Context(), address, slave != "")
			if err != nil {
				return err
			}
			return showPeers(std.out, answer.GetPeers(), flags.json)
		},
	}
	flags.add(command.Flags())
	command.Flags().StringVar(&slave, "slave", "", "`HOST:PORT` of a slave, which is asked instead of the master")
	return withSettings(command)
}

func (f *operatorFlags) askPeers(ctx context.Context, address string, ofSlave bool) (*wire.Peers, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	security, err := f.tls.client(wire.RoleOperator)
	if err != nil {
		return nil, err
	}
	daemon, err := client.Connect(client.Options{TLS: security, Slave: ofSlave}, address)
	if err != nil {
		return nil, err
	}
	defer daemon.Close()
	return daemon.Peers(ctx)
}

func showPeers(out io.Writer, peers []*wire.Peer, asJSON bool) error {
	var shown []peer
	var rows [][]string
	now := time.Now()
	for _, p := range peers {
		since, roundTrip := time.Unix(0, p.GetSinceUnixNanos()), time.Duration(p.GetRoundTripNanos())
		shown = append(shown, peer{
			Node: p.GetNode(), Incarnation: p.GetIncarnation(), Role: p.GetRole(), Address: p.GetAddress(), Dialled: p.GetDialled(),
			Certificate: p.GetCertificate(), AgeSeconds: max(0, now.Sub(since)).Seconds(),
			SentMessages: p.GetSentMessages(), SentBytes: p.GetSentBytes(), ReceivedMessages: p.GetReceivedMessages(), ReceivedBytes: p.GetReceivedBytes(),
			QueuedMessages: p.GetQueuedMessages(), QueuedBytes: p.GetQueuedBytes(), RoundTripSeconds: roundTrip.Seconds(), LastError: p.GetLastError(),
		})
		rows = append(rows, []string{
			p.GetAddress(), p.GetRole(), p.GetNode(), strconv.FormatUint(p.GetIncarnation(), 10), orDash(p.GetCertificate()), age(since, now),
			fmt.Sprintf("%d/%d", p.GetSentMessages(), p.GetReceivedMessages()), fmt.Sprintf("%d/%d", p.GetSentBytes()>>10, p.GetReceivedBytes()>>10),
			itoa(int(p.GetQueuedMessages())), shortDuration(roundTrip), orDash(strings.TrimSpace(p.GetLastError())),
		})
	}
	if asJSON {
		return printJSON(out, shown)
	}
	header := []string{"ADDRESS", "ROLE", "NODE", "INCARNATION", "CERTIFICATE", "AGE", "MESSAGES OUT/IN", "KB OUT/IN", "QUEUED", "ROUND TRIP", "LAST ERROR"}
	return table(out, header, rows)
}

// shortDuration is a measured time to three digits or so.
func shortDuration(d time.Duration) string {
	switch {
	case d == 0:
		return "-"
	case d < time.Millisecond:
		return d.Round(time.Microsecond).String()
	default:
		return d.Round(10 * time.Microsecond).String()
	}
}
