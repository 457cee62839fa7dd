// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.drivers;

import io.jvirtio.device.DeviceHost;
import io.jvirtio.device.InlineOwner;
import io.jvirtio.device.QueueOwner;
import io.jvirtio.device.VirtioDevice;
import io.jvirtio.driver.DriverTransport;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.testkit.RingFormat;
import io.jvirtio.transport.inprocess.InProcessMmio;
import io.jvirtio.transport.inprocess.InProcessOptions;
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

/**
 * The ways from a driver to a device in the same process: with packed rings but where the name says
 * otherwise, or the interface is a legacy one.
 */
public enum Way {
  IN_PROCESS,
  IN_PROCESS_SPLIT,
  PCI_MODERN,
  PCI_MODERN_INTX_SPLIT,
  PCI_LEGACY,
  PCI_LEGACY_INTX,
  MMIO_MODERN,
  MMIO_LEGACY;

  private static final FeatureBits SPLIT = RingFormat.SPLIT.applyTo(DeviceHost.ringFeatures());

  /**
   * Plugs a device in.
   *
   * @param owner of the device's queues; an {@link InlineOwner} also runs everything else
   */
  public DriverTransport plug(VirtioDevice device, QueueOwner owner) throws IOException {
    return switch (this) {
      case IN_PROCESS -> new InProcessTransport(device, owner);
      case IN_PROCESS_SPLIT ->
          new InProcessTransport(
              device, owner, InProcessOptions.defaults().withRingFeatures(SPLIT));
      case PCI_MODERN -> pci(device, owner, PciProfile.MODERN, Choice.MODERN, Attempt.MSIX_EACH);
      case PCI_MODERN_INTX_SPLIT ->
          pci(
              device,
              owner,
              PciOptions.defaults().withProfile(PciProfile.TRANSITIONAL).withRingFeatures(SPLIT),
              Choice.MODERN_FIRST,
              Attempt.INTX);
      case PCI_LEGACY ->
          pci(device, owner, PciProfile.TRANSITIONAL, Choice.LEGACY, Attempt.MSIX_SHARED);
      case PCI_LEGACY_INTX ->
          pci(device, owner, PciProfile.LEGACY, Choice.MODERN_FIRST, Attempt.INTX);
      case MMIO_MODERN -> mmio(device, owner, MmioOptions.defaults());
      case MMIO_LEGACY -> mmio(device, owner, MmioOptions.legacy());
    };
  }

  private static DriverTransport pci(
      VirtioDevice device, QueueOwner owner, PciProfile profile, Choice choice, Attempt attempt)
      throws IOException {
    return pci(device, owner, PciOptions.defaults().withProfile(profile), choice, attempt);
  }

  private static DriverTransport pci(
      VirtioDevice device, QueueOwner owner, PciOptions options, Choice choice, Attempt attempt)
      throws IOException {
    InProcessPci bus =
        new InProcessPci(
            device, queue -> owner, options, owner instanceof InlineOwner ? Runnable::run : null);
    return new PciDriverTransport(
        bus, PciDriverOptions.defaults().withChoice(choice).withAttempts(attempt));
  }

  private static DriverTransport mmio(VirtioDevice device, QueueOwner owner, MmioOptions options)
      throws IOException {
    return new MmioDriverTransport(new InProcessMmio(device, owner, options));
  }
}
