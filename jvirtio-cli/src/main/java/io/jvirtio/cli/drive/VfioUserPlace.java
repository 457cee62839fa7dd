// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli.drive;

import io.jvirtio.cli.CliException;
import io.jvirtio.driver.DriverTransport;
import io.jvirtio.linux.LinuxException;
import io.jvirtio.spec.DeviceType;
import io.jvirtio.transport.RegisterTransport;
import io.jvirtio.transport.RegisterWindow;
import io.jvirtio.transport.pci.PciDriverOptions;
import io.jvirtio.transport.pci.PciDriverTransport;
import io.jvirtio.vfio.VfioUserAccess;
import java.io.IOException;
import java.net.SocketTimeoutException;
import java.nio.file.Path;
import java.time.Duration;

/**
 * A PCI function of a vfio-user server.
 *
 * @param socket where it listens
 * @param driver how to drive it
 * @param timeout the longest wait for an answer
 */
record VfioUserPlace(Path socket, PciDriverOptions driver, Duration timeout) implements Place {
  private static final int DEVICE = 0x02;
  private static final int FIRST_BAR = 0x10;
  private static final int PIN = 0x3d;
  private static final int FIRST_MODERN_ID = 0x1040;

  @Override
  public Link connect(DeviceType type, Need need) throws CliException {
    try {
      DriverTransport transport = new PciDriverTransport(access(), driver);
      if (transport.deviceId() != type.id()) {
        transport.close();
        throw new CliException(
            "the device at "
                + socket
                + " is no block device: see jvirtio probe --vfio-user="
                + socket);
      }
      return new Link(transport, () -> {});
    } catch (IOException e) {
      throw connecting(e);
    }
  }

  private VfioUserAccess access() throws IOException {
    return VfioUserAccess.connect(socket, timeout);
  }

  /** Asks the device; in the end it is reset. */
  Probe probe() throws CliException {
    try {
      VfioUserAccess access = access();
      try (RegisterTransport transport = new PciDriverTransport(access, driver)) {
        RegisterWindow config = access.config();
        boolean transitional = config.read(DEVICE, 2) < FIRST_MODERN_ID;
        boolean legacy = transitional && (config.read(FIRST_BAR, 4) & 1) != 0;
        // Driven by force through its legacy interface, it may have the other or not.
        String interfaces =
            transport.isLegacy() ? "legacy" : legacy ? BusProbe.TRANSITIONAL : "modern";
        BusProbe.Seat seat =
            new BusProbe.Seat(
                socket.toString(),
                BusProbe.Bus.PCI,
                transport.deviceId(),
                interfaces,
                access.msixVectors(),
                (int) config.read(PIN, 1));
        return BusProbe.ask(transport, seat);
      }
    } catch (IOException e) {
      throw connecting(e);
    }
  }

  @Override
  public CliException connecting(IOException e) {
    if (e instanceof LinuxException system) {
      return Refusals.system(
          system,
          socket,
          "start a server there first, such as with: jvirtio pci blk --socket-path="
              + socket
              + " --blk-file=IMAGE",
          "of a vfio-user server");
    }
    String text = Refusals.text(e);
    String where = text.contains(socket.toString()) ? "" : socket + ": ";
    String why =
        e instanceof SocketTimeoutException
            ? ": it may serve another client now, be slow (see --timeout), or be no vfio-user"
                + " server"
            : "";
    return new CliException(where + text + why, e);
  }

  @Override
  public String toString() {
    return socket.toString();
  }
}
