// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.inprocess;

import io.jvirtio.device.QueueOwner;
import io.jvirtio.transport.mmio.MmioDriverOptions;
import io.jvirtio.transport.mmio.MmioDriverTransport;
import io.jvirtio.transport.mmio.MmioOptions;
import java.io.IOException;
import java.util.List;

/** The ways in which driver and device can meet at mmio registers. */
record MmioKind(int version, boolean bigEndian) implements RegisterKind {
  static List<MmioKind> all() {
    return List.of(new MmioKind(2, false), new MmioKind(1, false), new MmioKind(1, true));
  }

  @Override
  public boolean isLegacy() {
    return version == 1;
  }

  @Override
  public RegisterPair plug(EchoDevice device, QueueOwner owner, boolean inline) throws IOException {
    MmioOptions options = isLegacy() ? MmioOptions.legacy() : MmioOptions.defaults();
    InProcessMmio place = new InProcessMmio(device, owner, options.withBigEndianGuest(bigEndian));
    MmioDriverOptions how = MmioDriverOptions.defaults().withBigEndian(bigEndian);
    return new RegisterPair(
        new MmioDriverTransport(place, how),
        place.device().host(),
        place.device().counters(),
        place::remove);
  }

  @Override
  public String toString() {
    return "mmio version " + version + (bigEndian ? ", big-endian" : "");
  }
}
