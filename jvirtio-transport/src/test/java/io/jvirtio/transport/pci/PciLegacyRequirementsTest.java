// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.pci;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.device.InlineOwner;
import io.jvirtio.driver.QueueRequest;
import io.jvirtio.queue.DriverQueue;
import io.jvirtio.testkit.Requirement;
import io.jvirtio.transport.pci.LyingPci.Access;
import io.jvirtio.transport.pci.PciDriverOptions.Attempt;
import java.io.IOException;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What a driver of the legacy interface must do, seen from the registers. */
class PciLegacyRequirementsTest {
  private static final String LAYOUT =
      "Virtio Over PCI Bus / Legacy Interfaces: A Note on PCI Device Layout";
  private static final int QUEUE_ADDRESS = 8;
  private static final int QUEUE_SELECT = 14;
  private static final int QUEUE_NOTIFY = 16;

  private final LyingPci pci = LyingPci.legacy(0x12_3456_7000L);
  private final LyingPci.Window bar = pci.bars.get(0);
  private final QueueRequest request =
      new QueueRequest("tested", 4, 1, queue -> {}, new InlineOwner());

  private PciDriverTransport open(Attempt... attempts) throws IOException {
    return new PciDriverTransport(pci, PciDriverOptions.defaults().withAttempts(attempts));
  }

  @Test
  @Requirement(
      section = LAYOUT,
      text =
          "When using the legacy interface, transitional drivers MUST use the legacy configuration"
              + " structure in BAR0 in the first I/O region of the PCI device")
  @Requirement(
      section =
          "Virtio Over PCI Bus / PCI-specific Initialization And Device Operation / Device"
              + " Initialization / Virtio Device Configuration Layout Detection / Legacy Interface:"
              + " A Note on Device Layout Detection",
      text =
          "Transitional drivers MUST look for the Virtio PCI Capabilities on the capability list. If"
              + " these are not present, driver MUST assume a legacy device, and use it through the"
              + " legacy interface.")
  void aDeviceWithoutCapabilitiesIsDrivenByBarZero() throws IOException {
    bar.set(0, 4, 0x2000_0001);
    try (PciDriverTransport transport = open(Attempt.INTX)) {
      assertTrue(transport.isLegacy());
      transport.reset();
      assertEquals(0x2000_0001, transport.deviceFeatures().low());
      transport.writeDriverFeatures(transport.deviceFeatures());
      assertEquals(0x2000_0001, bar.get(4, 4));
      transport.writeStatus(3);
      assertEquals(3, bar.get(18, 1));
      List<DriverQueue> queues = transport.findQueues(List.of(request, request));
      List<Access> pages = pci.writes(bar, QUEUE_ADDRESS);
      for (int i = 0; i < 2; i++) {
        assertEquals(16, queues.get(i).size());
        assertEquals(queues.get(i).layout().descriptorArea() >>> 12, pages.get(i).value());
        int at = pci.accesses.indexOf(pages.get(i));
        Access before = pci.accesses.get(at - 1);
        assertEquals(QUEUE_SELECT, before.offset());
        assertEquals(i, before.value());
      }
      assertTrue(queues.get(1).notifyDevice());
      Access bell = pci.writes(bar, QUEUE_NOTIFY).getLast();
      assertEquals(2, bell.width());
      assertEquals(1, bell.value());
      assertTrue(
          pci.accesses.stream().allMatch(a -> a.window() == bar || a.window() == pci.config));
    }
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  @Requirement(
      section = LAYOUT,
      text =
          "When accessing the device-specific configuration space using the legacy interface,"
              + " transitional drivers MUST access the device-specific configuration space at an"
              + " offset immediately following the general headers.")
  void theConfigurationFollowsTheHeaders(boolean msix) throws IOException {
    pci.config.set(0x34, 1, LyingPci.MSIX_AT);
    try (PciDriverTransport transport = open(msix ? Attempt.MSIX_EACH : Attempt.INTX)) {
      transport.findQueues(List.of(request));
      assertEquals(msix ? 2 : 0, pci.vectors.size());
      bar.set(20, 4, 0x0403_0201).set(24, 4, 0x0807_0605);
      byte[] bytes = new byte[2];
      transport.readConfig(1, bytes);
      assertEquals(msix ? 6 : 2, bytes[0]);
      assertEquals(msix ? 7 : 3, bytes[1]);
      assertEquals(64 - (msix ? 24 : 20), transport.configSize());
      transport.writeConfig(4, new byte[] {9});
      assertEquals(9, bar.get(msix ? 28 : 24, 1));
      // It moves back.
      transport.reset();
      transport.deleteQueues();
      assertEquals(44, transport.configSize());
    }
  }
}
