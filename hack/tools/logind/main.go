// logind stands in for systemd-logind in tests: on the system bus that DBUS_SYSTEM_BUS_ADDRESS names it
// takes inhibitors, each of which it prints, and says that the machine goes down when it gets SIGUSR1,
// and that it does not after all when it gets SIGUSR2.
package main

import (
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/godbus/dbus/v5/prop"
)

const (
	service = "org.freedesktop.login1"
	path    = dbus.ObjectPath("/org/freedesktop/login1")
	manager = "org.freedesktop.login1.Manager"
)

type logind struct{}

// Inhibit gives the caller one end of a pipe, as logind does: it lets go by closing it.
func (logind) Inhibit(what, who, why, mode string) (dbus.UnixFD, *dbus.Error) {
	reader, writer, err := os.Pipe()
	if err != nil {
		return 0, dbus.MakeFailedError(err)
	}
	fmt.Printf("%s holds %s (%s): %s\n", who, what, mode, why)
	go func() {
		// The reply has its own copy of the end by then.
		time.Sleep(time.Second)
		writer.Close()
		_, _ = reader.Read(make([]byte, 1))
		reader.Close()
		fmt.Printf("%s lets go of %s\n", who, what)
	}()
	return dbus.UnixFD(writer.Fd()), nil
}

func main() {
	bus, err := dbus.ConnectSystemBus()
	if err != nil {
		log.Fatalf("logind: system bus: %v", err)
	}
	if err := bus.Export(logind{}, path, manager); err != nil {
		log.Fatalf("logind: export %s: %v", manager, err)
	}
	delay := uint64(time.Hour / time.Microsecond)
	properties := prop.Map{manager: {"InhibitDelayMaxUSec": {Value: delay}}}
	if _, err := prop.Export(bus, path, properties); err != nil {
		log.Fatalf("logind: export properties: %v", err)
	}
	reply, err := bus.RequestName(service, dbus.NameFlagDoNotQueue)
	if err != nil || reply != dbus.RequestNameReplyPrimaryOwner {
		log.Fatalf("logind: name %s: reply %v, %v", service, reply, err)
	}
	fmt.Println("ready")
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGTERM)
	for got := range signals {
		if got == syscall.SIGTERM {
			return
		}
		if err := bus.Emit(path, manager+".PrepareForShutdown", got == syscall.SIGUSR1); err != nil {
			log.Fatalf("logind: PrepareForShutdown: %v", err)
		}
	}
}
