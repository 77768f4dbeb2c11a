// SPDX-License-Identifier: Apache-2.0
//
// A DTLS 1.2 terminator for laboratories: PSK, one upstream UDP socket for each client, datagrams forwarded as they are.
// Run: go run . -listen 0.0.0.0:5684 -to 127.0.0.1:5683 -keys psk.txt (lines of IDENTITY KEY)
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"strings"
	"time"

	"github.com/pion/dtls/v3"
)

// A client that has been silent for so long has gone: its next datagram makes a new session.
const idle = 15 * time.Minute

// The largest datagram that passes.
const datagram = 2048

func main() {
	listen := flag.String("listen", "127.0.0.1:5684", "where clients come in")
	to := flag.String("to", "127.0.0.1:5683", "where datagrams go")
	file := flag.String("keys", "psk.txt", "lines of IDENTITY KEY")
	flag.Parse()
	keys, err := readKeys(*file)
	if err != nil {
		log.Fatal(err)
	}
	address, err := net.ResolveUDPAddr("udp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	listener, err := dtls.Listen("udp", address, &dtls.Config{
		PSK: func(identity []byte) ([]byte, error) {
			key, known := keys[string(identity)]
			if !known {
				return nil, errors.New("unknown identity")
			}
			return key, nil
		},
		PSKIdentityHint: []byte("coalmine"),
		CipherSuites:    []dtls.CipherSuiteID{dtls.TLS_PSK_WITH_AES_128_CCM_8, dtls.TLS_PSK_WITH_AES_128_GCM_SHA256},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("ready", *listen)
	for {
		client, err := listener.Accept()
		if err != nil {
			log.Println("accept:", err)
			continue
		}
		go serve(client, *to)
	}
}

// Carries one client's datagrams up and down until either side has been silent for too long.
func serve(client net.Conn, to string) {
	defer client.Close()
	host, err := net.Dial("udp", to)
	if err != nil {
		log.Println("dial:", err)
		return
	}
	defer host.Close()
	go carry(client, host)
	carry(host, client)
}

func carry(to, from net.Conn) {
	buffer := make([]byte, datagram)
	for {
		if from.SetReadDeadline(time.Now().Add(idle)) != nil {
			return
		}
		n, err := from.Read(buffer)
		if err != nil {
			to.Close()
			return
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func readKeys(name string) (map[string][]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	keys := map[string][]byte{}
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if identity, key, found := strings.Cut(strings.TrimSpace(lines.Text()), " "); found {
			keys[identity] = []byte(strings.TrimSpace(key))
		}
	}
	return keys, lines.Err()
}
