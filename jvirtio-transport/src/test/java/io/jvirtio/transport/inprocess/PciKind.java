// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.inprocess;

import io.jvirtio.device.QueueOwner;
import io.jvirtio.transport.pci.PciDriverOptions;
import io.jvirtio.transport.pci.PciDriverOptions.Attempt;
import io.jvirtio.transport.pci.PciDriverOptions.Choice;
import io.jvirtio.transport.pci.PciDriverTransport;
import io.jvirtio.transport.pci.PciOptions;
import io.jvirtio.transport.pci.PciProfile;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;

/** The ways in which driver and device can meet on PCI. */
record PciKind(PciProfile profile, Choice choice, Attempt attempt, boolean bigEndian)
    implements RegisterKind {
  static List<PciKind> all() {
    List<PciKind> all = new ArrayList<>();
    for (Attempt attempt : Attempt.values()) {
      all.add(new PciKind(PciProfile.MODERN, Choice.MODERN, attempt, false));
      all.add(new PciKind(PciProfile.TRANSITIONAL, Choice.MODERN_FIRST, attempt, false));
      all.add(new PciKind(PciProfile.TRANSITIONAL, Choice.LEGACY, attempt, false));
      all.add(new PciKind(PciProfile.LEGACY, Choice.MODERN_FIRST, attempt, false));
      all.add(new PciKind(PciProfile.LEGACY, Choice.LEGACY, attempt, true));
    }
    return all;
  }

  @Override
  public boolean isLegacy() {
    return profile == PciProfile.LEGACY || choice == Choice.LEGACY;
  }

  private PciOptions device() {
    return PciOptions.defaults().withProfile(profile).withBigEndianGuest(bigEndian);
  }

  private PciDriverOptions driver() {
    return PciDriverOptions.defaults()
        .withChoice(choice)
        .withAttempts(attempt)
        .withBigEndian(bigEndian);
  }

  @Override
  public RegisterPair plug(EchoDevice device, QueueOwner owner, boolean inline) throws IOException {
    InProcessPci bus =
        new InProcessPci(device, queue -> owner, device(), inline ? Runnable::run : null);
    return new RegisterPair(
        new PciDriverTransport(bus, driver()),
        bus.function().host(),
        bus.function().counters(),
        bus::remove);
  }

  @Override
  public String toString() {
    return profile + ", " + choice + ", " + attempt + (bigEndian ? ", big-endian" : "");
  }
}
