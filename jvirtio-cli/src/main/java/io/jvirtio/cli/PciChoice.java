// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli;

import io.jvirtio.device.DeviceHost;
import io.jvirtio.transport.pci.PciOptions;
import io.jvirtio.transport.pci.PciProfile;
import java.util.Locale;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;

/**
 * Which interfaces of virtio over PCI a user wants, and which interrupts. Immutable.
 *
 * @param profile the interfaces
 * @param irq the interrupts
 */
public record PciChoice(PciProfile profile, Irq irq) {
  /** How a function interrupts. */
  public enum Irq {
    /** By messages: it has MSI-X, and the pin for those who do not use that. */
    MSIX,
    /** By the pin INTA alone. */
    INTX
  }

  /** The options: a picocli mixin. */
  public static final class Given {
    @Option(
        names = "--profile",
        defaultValue = "modern",
        paramLabel = "PROFILE",
        description =
            "Interfaces of the PCI device: modern (virtio 1.0 and newer), legacy (older) or"
                + " transitional (both) (default: ${DEFAULT-VALUE}).")
    private PciProfile profile;

    @Option(
        names = "--irq",
        defaultValue = "msix",
        paramLabel = "IRQ",
        description =
            "Interrupts of the PCI device: msix, or intx for the pin only (default:"
                + " ${DEFAULT-VALUE}).")
    private Irq irq;

    /** For picocli. */
    public Given() {}

    /** What was chosen. */
    public PciChoice choice() {
      return new PciChoice(profile, irq);
    }
  }

  /**
   * Which features of the rings there can be: a legacy device has neither of the two that came with
   * virtio 1.1.
   *
   * @throws ParameterException when the user has asked for one that there cannot be
   */
  public RingChoice rings(RingChoice chosen, CommandSpec spec) {
    if (profile != PciProfile.LEGACY) {
      return chosen;
    }
    refuse(chosen.packed(), "--packed", spec);
    refuse(chosen.inOrder(), "--in-order", spec);
    return new RingChoice(false, false, chosen.eventIndex(), chosen.indirect());
  }

  private static void refuse(boolean on, String option, CommandSpec spec) {
    if (on && spec.commandLine().getParseResult().hasMatchedOption(option)) {
      throw new ParameterException(
          spec.commandLine(),
          option + "=on and --profile=legacy do not go together: use modern or transitional");
    }
  }

  /** What a function is then like. */
  public PciOptions options(RingChoice rings) {
    PciOptions options =
        PciOptions.defaults()
            .withRingFeatures(rings.of(DeviceHost.ringFeatures()))
            .withProfile(profile);
    return irq == Irq.INTX ? options.withMsixVectors(0) : options;
  }

  /** For people. */
  @Override
  public String toString() {
    return profile.name().toLowerCase(Locale.ROOT) + ", " + (irq == Irq.MSIX ? "MSI-X" : "INTx");
  }
}
