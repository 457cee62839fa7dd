// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli.drive;

import io.jvirtio.transport.pci.PciDriverOptions;
import io.jvirtio.transport.pci.PciDriverOptions.Attempt;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.Option;
import picocli.CommandLine.TypeConversionException;

/** Where a disk is, and how it is to interrupt. */
final class DiskPlaceOptions extends PlaceOptions {
  @Option(
      names = "--device",
      paramLabel = "ADDRESS",
      description =
          "With --qtest: which device, such as 00:05.0 or 0xfeb00e00; not needed if there is only"
              + " one disk.")
  private String device;

  @Option(
      names = "--irq",
      paramLabel = "KIND",
      converter = Kind.class,
      description =
          "On PCI, how the device interrupts: msix (a vector for each queue), msix-shared"
              + " (one for all), intx (the pin); by default the first of these that works.")
  private Attempt irq;

  /** For picocli. */
  DiskPlaceOptions() {}

  @Override
  void begin() {
    super.begin();
    require(isQtest() || device == null, "--device goes with --qtest only");
    require(!isVhostUser() || irq == null, "--irq goes with --qtest and --vfio-user only");
  }

  /** Where the disk is. */
  Place place() {
    if (isVhostUser()) {
      return vhostUser();
    }
    PciDriverOptions defaults = PciDriverOptions.defaults();
    PciDriverOptions driver = irq == null ? defaults : defaults.withAttempts(irq);
    return isQtest() ? qtest(device, driver) : vfioUser(driver);
  }

  /** Names of ways to interrupt. */
  static final class Kind implements ITypeConverter<Attempt> {
    /** For picocli. */
    Kind() {}

    @Override
    public Attempt convert(String text) {
      return switch (text) {
        case "msix" -> Attempt.MSIX_EACH;
        case "msix-shared" -> Attempt.MSIX_SHARED;
        case "intx" -> Attempt.INTX;
        default ->
            throw new TypeConversionException("'" + text + "' is none of msix, msix-shared, intx");
      };
    }
  }
}
