// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.bench;

import io.jvirtio.driver.DriverTransport;
import io.jvirtio.transport.inprocess.InProcessMmio;
import io.jvirtio.transport.inprocess.InProcessPci;
import io.jvirtio.transport.inprocess.InProcessTransport;
import io.jvirtio.transport.mmio.MmioDriverTransport;
import io.jvirtio.transport.mmio.MmioOptions;
import io.jvirtio.transport.pci.PciDriverOptions;
import io.jvirtio.transport.pci.PciDriverOptions.Attempt;
import io.jvirtio.transport.pci.PciDriverOptions.Choice;
import io.jvirtio.transport.pci.PciDriverTransport;
import io.jvirtio.transport.pci.PciOptions;
import io.jvirtio.transport.pci.PciProfile;
import java.io.IOException;

/** What {@link TransportBench} measures: a driver's way to a block device. */
enum TransportSetup {
  IN_PROCESS("in process", "calls", Threads.ONE) {
    @Override
    DriverTransport open(TransportPeers peers) {
      return new InProcessTransport(peers.disk(), peers.inline());
    }
  },
  PCI("PCI, in process", "modern, MSI-X", Threads.ONE) {
    @Override
    DriverTransport open(TransportPeers peers) throws IOException {
      return inlinePci(peers, PciProfile.MODERN, Attempt.MSIX_EACH);
    }
  },
  PCI_INTX("PCI, in process", "modern, INTx", Threads.ONE) {
    @Override
    DriverTransport open(TransportPeers peers) throws IOException {
      return inlinePci(peers, PciProfile.MODERN, Attempt.INTX);
    }
  },
  PCI_LEGACY("PCI, in process", "legacy, INTx", Threads.ONE) {
    @Override
    DriverTransport open(TransportPeers peers) throws IOException {
      return inlinePci(peers, PciProfile.LEGACY, Attempt.INTX);
    }
  },
  MMIO("mmio, in process", "version 2", Threads.ONE) {
    @Override
    DriverTransport open(TransportPeers peers) throws IOException {
      return new MmioDriverTransport(
          new InProcessMmio(peers.disk(), peers.inline(), MmioOptions.defaults()));
    }
  },
  MMIO_LEGACY("mmio, in process", "version 1", Threads.ONE) {
    @Override
    DriverTransport open(TransportPeers peers) throws IOException {
      return new MmioDriverTransport(
          new InProcessMmio(peers.disk(), peers.inline(), MmioOptions.legacy()));
    }
  },
  IN_PROCESS_THREADS("in process", "calls", Threads.TWO) {
    @Override
    DriverTransport open(TransportPeers peers) throws IOException {
      return new InProcessTransport(peers.disk(), peers.deviceLoop());
    }
  },
  VHOST_USER("vhost-user", "shared memory, eventfds", Threads.TWO) {
    @Override
    DriverTransport open(TransportPeers peers) throws IOException {
      return peers.vhostUser();
    }
  },
  VFIO_USER("vfio-user", "modern, MSI-X", Threads.THREE) {
    @Override
    DriverTransport open(TransportPeers peers) throws IOException {
      return peers.vfioUser(PciDriverOptions.defaults().withAttempts(Attempt.MSIX_EACH));
    }
  },
  VFIO_USER_INTX("vfio-user", "modern, INTx", Threads.THREE) {
    @Override
    DriverTransport open(TransportPeers peers) throws IOException {
      return peers.vfioUser(PciDriverOptions.defaults().withAttempts(Attempt.INTX));
    }
  },
  QTEST_PCI("qtest, PCI of QEMU", "modern, MSI-X", Threads.QEMU) {
    @Override
    DriverTransport open(TransportPeers peers) throws IOException, InterruptedException {
      return peers.qtestPci(PciDriverOptions.defaults().withAttempts(Attempt.MSIX_EACH));
    }
  },
  QTEST_PCI_INTX("qtest, PCI of QEMU", "modern, INTx", Threads.QEMU) {
    @Override
    DriverTransport open(TransportPeers peers) throws IOException, InterruptedException {
      return peers.qtestPci(PciDriverOptions.defaults().withAttempts(Attempt.INTX));
    }
  },
  QTEST_PCI_LEGACY("qtest, PCI of QEMU", "legacy, MSI-X", Threads.QEMU) {
    @Override
    DriverTransport open(TransportPeers peers) throws IOException, InterruptedException {
      return peers.qtestPci(
          PciDriverOptions.defaults().withChoice(Choice.LEGACY).withAttempts(Attempt.MSIX_EACH));
    }
  },
  QTEST_MMIO("qtest, mmio of QEMU", "version 2", Threads.QEMU) {
    @Override
    DriverTransport open(TransportPeers peers) throws IOException, InterruptedException {
      return peers.qtestMmio();
    }
  };

  /** Who works at a request. */
  enum Threads {
    /** Driver and device in turn. */
    ONE("1"),
    /** Driver, and device. */
    TWO("2"),
    /** Those, and the server of registers or the handler of interrupts between them. */
    THREE("driver, interrupts, registers, device"),
    /** Driver and handler of interrupts here, the device there. */
    QEMU("driver, interrupts; QEMU");

    private final String text;

    Threads(String text) {
      this.text = text;
    }
  }

  private final String transport;
  private final String kind;
  private final Threads threads;

  TransportSetup(String transport, String kind, Threads threads) {
    this.transport = transport;
    this.kind = kind;
    this.threads = threads;
  }

  /** The way, to a device that is part of it. */
  abstract DriverTransport open(TransportPeers peers) throws IOException, InterruptedException;

  /** Whether driver and device are one thread. */
  boolean isInline() {
    return threads == Threads.ONE;
  }

  /** Whether a QEMU is needed. */
  boolean needsQemu() {
    return threads == Threads.QEMU;
  }

  /** The first cells of its row. */
  String title() {
    return transport + " | " + kind + " | " + threads.text;
  }

  private static DriverTransport inlinePci(
      TransportPeers peers, PciProfile profile, Attempt attempt) throws IOException {
    return new PciDriverTransport(
        new InProcessPci(
            peers.disk(),
            queue -> peers.inline(),
            PciOptions.defaults().withProfile(profile),
            Runnable::run),
        PciDriverOptions.defaults().withAttempts(attempt));
  }
}
