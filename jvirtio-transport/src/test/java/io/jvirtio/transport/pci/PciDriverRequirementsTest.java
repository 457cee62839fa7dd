// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.pci;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.device.InlineOwner;
import io.jvirtio.driver.QueueRequest;
import io.jvirtio.queue.DriverQueue;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import io.jvirtio.testkit.Requirement;
import io.jvirtio.transport.pci.LyingPci.Access;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What a driver of the modern interface must do, seen from the registers. */
class PciDriverRequirementsTest {
  private static final String PCI = "Virtio Over PCI Bus / ";
  private static final String DISCOVERY = PCI + "PCI Device Discovery";
  private static final String CAPABILITIES = PCI + "Virtio Structure PCI Capabilities";
  private static final String COMMON = PCI + "Common configuration structure layout";
  private static final String WINDOW = PCI + "PCI configuration access capability";
  private static final String NOTIFICATIONS =
      PCI + "PCI-specific Initialization And Device Operation / Available Buffer Notifications";
  private static final int NOTIF_CONFIG_DATA = 0x38;
  private static final FeatureBits VERSION_1 = FeatureBits.of(ReservedFeatures.VIRTIO_F_VERSION_1);

  private final LyingPci pci = new LyingPci();
  private final InlineOwner owner = new InlineOwner();
  private PciDriverTransport transport;

  @AfterEach
  void close() {
    if (transport != null) {
      transport.close();
    }
  }

  private PciDriverTransport open() throws IOException {
    transport =
        new PciDriverTransport(
            pci, PciDriverOptions.defaults().withResetDeadline(Duration.ofMillis(50)));
    return transport;
  }

  private List<DriverQueue> find(FeatureBits features, int... sizes) throws IOException {
    open().reset();
    transport.writeDriverFeatures(features);
    List<QueueRequest> requests = new ArrayList<>();
    for (int size : sizes) {
      requests.add(new QueueRequest("tested", size, 1, queue -> {}, owner));
    }
    return transport.findQueues(requests);
  }

  private List<Access> writes(int offset) {
    return pci.writes(pci.common(), offset);
  }

  private long lastWrite(int offset) {
    return writes(offset).getLast().value();
  }

  @ParameterizedTest
  @CsvSource({
    "1041, 0, 1, 0",
    "1042, 2, 2, 1",
    "1044, 9999, 4, 255",
    "107f, 1, 63, 3",
    "1001, 2, 2, 0",
    "1005, 4, 4, 7"
  })
  @Requirement(
      section = DISCOVERY,
      text =
          "Drivers MUST match devices with the PCI Vendor ID 0x1AF4 and the PCI Device ID in the"
              + " range 0x1040 to 0x107f, calculated by adding 0x1040 to the Virtio Device ID, as"
              + " indicated in section Device Types.")
  @Requirement(
      section = DISCOVERY,
      text =
          "Drivers for device types listed in section PCI Device Discovery MUST match devices with"
              + " the PCI Vendor ID 0x1AF4 and the Transitional PCI Device ID indicated in section"
              + " PCI Device Discovery.")
  @Requirement(section = DISCOVERY, text = "Drivers MUST match any PCI Revision ID value.")
  void idsTellTheType(String device, int subsystem, int type, int revision) throws IOException {
    pci.config.set(2, 2, Integer.parseInt(device, 16)).set(0x2e, 2, subsystem).set(8, 1, revision);
    assertEquals(type, open().deviceId());
    assertEquals(0x1234, transport.vendorId());
  }

  @Test
  @Requirement(
      section = PCI + "PCI Device Layout",
      text =
          "For device configuration access, the driver MUST use 8-bit wide accesses for 8-bit wide"
              + " fields, 16-bit wide and aligned accesses for 16-bit wide fields and 32-bit wide"
              + " and aligned accesses for 32-bit and 64-bit wide fields. For 64-bit fields, the"
              + " driver MAY access each of the high and low 32-bit parts of the field"
              + " independently.")
  void fieldsAreAccessedInTheirWidths() throws IOException {
    int at = 0x400;
    pci.config.set(2, 2, 0x1042);
    pci.structure(4, 16, LyingPci.BAR, at, 60, 0);
    open();
    pci.accesses.clear();
    // capacity, size_max, seg_max, geometry (16, 8, 8), blk_size, topology (8, 8, 16, 32), wce
    transport.readConfig(0, new byte[33]);
    transport.writeConfig(32, new byte[1]);
    transport.readConfig(34, new byte[2]); // num_queues
    transport.readConfig(0, new byte[8]);
    assertEquals(
        List.of(4, 4, 4, 4, 2, 1, 1, 4, 1, 1, 2, 4, 1, 1, 2, 4, 4),
        pci.accesses.stream().map(Access::width).toList());
    assertTrue(pci.accesses.stream().allMatch(a -> (a.offset() - at) % a.width() == 0));
  }

  @Test
  @Requirement(
      section = CAPABILITIES,
      text =
          "The driver MUST ignore any vendor-specific capability structure which has a reserved"
              + " cfg_type value.")
  @Requirement(
      section = CAPABILITIES,
      text =
          "The driver MUST ignore any vendor-specific capability structure which has a reserved bar"
              + " value.")
  @Requirement(
      section = CAPABILITIES,
      text =
          "The driver SHOULD use the first instance of each virtio structure type they can"
              + " support.")
  @Requirement(
      section = CAPABILITIES,
      text = "The driver MUST accept a cap_len value which is larger than specified here.")
  @Requirement(
      section = CAPABILITIES,
      text =
          "The drivers SHOULD only map part of configuration structure large enough for device"
              + " operation. The drivers MUST handle an unexpectedly large length, but MAY check"
              + " that length is large enough for device operation.")
  void strangeCapabilitiesAreIgnored() throws IOException {
    pci.bare();
    pci.structure(6, 24, LyingPci.BAR, 0x800, 0x40, 0);
    pci.structure(1, 16, 7, 0x800, 0x40, 0);
    pci.structure(1, 24, LyingPci.BAR, LyingPci.COMMON, 0xffff_ff00L, 0);
    pci.structure(1, 16, LyingPci.BAR, 0x800, 0x40, 0);
    pci.structure(2, 24, LyingPci.BAR, LyingPci.NOTIFY, 0x4000_0000L, 4);
    pci.structure(3, 24, LyingPci.BAR, LyingPci.ISR, 0x1000, 0);
    open().writeStatus(1);
    assertEquals(1, lastWrite(LyingPci.STATUS));
  }

  @Test
  @Requirement(
      section = CAPABILITIES,
      text =
          "The driver MUST NOT write into any field of the capability structure, with the exception"
              + " of those with cap_type VIRTIO_PCI_CAP_PCI_CFG as detailed in PCI configuration"
              + " access capability.")
  @Requirement(
      section = WINDOW,
      text =
          "The driver MUST NOT write a cap.offset which is not a multiple of cap.length (ie. all"
              + " accesses MUST be aligned).")
  @Requirement(
      section = WINDOW,
      text =
          "The driver MUST NOT read or write pci_cfg_data unless cap.bar, cap.length and cap.offset"
              + " address cap.length bytes within a BAR range specified by some other Virtio"
              + " Structure PCI Capability of type other than VIRTIO_PCI_CAP_PCI_CFG.")
  @Requirement(
      section = PCI + "Vendor data capability",
      text =
          "The driver SHOULD NOT use the Vendor data capability except for debugging and reporting"
              + " purposes.")
  @Requirement(
      section = PCI + "Vendor data capability",
      text =
          "The driver MUST qualify the vendor_id before interpreting or writing into the Vendor data"
              + " capability.")
  void noCapabilityIsWritten() throws IOException {
    int window = pci.structure(5, 20, 0, 0, 0, 0);
    int vendor = pci.structure(9, 20, 0x34, 0, 0, 0);
    find(VERSION_1, 0, 0);
    transport.close();
    for (Access access : pci.accesses) {
      if (access.window() == pci.config) {
        assertTrue(!access.write() || access.offset() == 4, access.toString());
        assertTrue(access.offset() < window + 4 || access.offset() >= window + 24);
        assertTrue(access.offset() < vendor + 4 || access.offset() >= vendor + 24);
      }
    }
  }

  @Test
  @Requirement(
      section = COMMON,
      text =
          "The driver MUST NOT write to device_feature, num_queues, config_generation,"
              + " queue_notify_off or queue_notif_config_data.")
  @Requirement(
      section = COMMON,
      text =
          "If VIRTIO_F_RING_PACKED has been negotiated, the driver MUST NOT write the value 0 to"
              + " queue_size. If VIRTIO_F_RING_PACKED has not been negotiated, the driver MUST NOT"
              + " write a value which is not a power of 2 to queue_size.")
  @Requirement(
      section = COMMON,
      text =
          "The driver MUST configure the other virtqueue fields before enabling the virtqueue with"
              + " queue_enable.")
  @Requirement(section = COMMON, text = "The driver MUST NOT write a 0 to queue_enable.")
  void queuesAreConfiguredAndThenEnabled() throws IOException {
    find(VERSION_1, 8, 0);
    transport.close();
    for (int offset : new int[] {0x04, 0x12, 0x15, 0x1e, NOTIF_CONFIG_DATA}) {
      assertEquals(List.of(), writes(offset));
    }
    assertEquals(
        List.of(8L, 16L), writes(LyingPci.QUEUE_SIZE).stream().map(Access::value).toList());
    assertEquals(
        List.of(1L, 1L), writes(LyingPci.QUEUE_ENABLE).stream().map(Access::value).toList());
    List<Access> all = pci.accesses;
    int enabled = all.indexOf(writes(LyingPci.QUEUE_ENABLE).getFirst());
    for (int offset : new int[] {0x18, 0x1a, 0x20, 0x24, 0x28, 0x2c, 0x30, 0x34}) {
      List<Access> two = writes(offset);
      assertTrue(two.size() >= 2, "written for each queue: " + offset);
      assertTrue(all.indexOf(two.get(0)) < enabled && all.indexOf(two.get(1)) < enabled);
    }
  }

  @Test
  @Requirement(
      section = COMMON,
      text =
          "After writing 0 to device_status, the driver MUST wait for a read of device_status to"
              + " return 0 before reinitializing the device.")
  void aResetIsWaitedFor() throws IOException {
    int[] reads = new int[1];
    open();
    pci.common().lie(LyingPci.STATUS, () -> ++reads[0] < 5 ? 1 : 0);
    transport.reset();
    assertEquals(5, reads[0]);
    pci.common().lie(LyingPci.STATUS, 1);
    assertThrows(IOException.class, transport::reset);
  }

  @Test
  @Requirement(
      section = COMMON,
      text =
          "If VIRTIO_F_RING_RESET has been negotiated, after the driver writes 1 to queue_reset to"
              + " reset the queue, the driver MUST NOT consider queue reset to be complete until it"
              + " reads back 0 in queue_reset. The driver MAY re-enable the queue by writing 1 to"
              + " queue_enable after ensuring that other virtqueue fields have been set up"
              + " correctly. The driver MAY set driver-writeable queue configuration values to"
              + " different values than those that were used before the queue reset.")
  void aQueueResetIsWaitedFor() throws IOException {
    find(VERSION_1.with(ReservedFeatures.VIRTIO_F_RING_RESET), 0, 0);
    int[] reads = new int[1];
    pci.common().lie(LyingPci.QUEUE_RESET, () -> ++reads[0] < 5 ? 1 : 0);
    transport.resetQueue(1);
    assertEquals(5, reads[0]);
    assertEquals(1, lastWrite(LyingPci.QUEUE_RESET));
    pci.accesses.clear();
    transport.enableQueue(1, 4);
    assertEquals(4, lastWrite(LyingPci.QUEUE_SIZE));
    assertEquals(2, lastWrite(LyingPci.QUEUE_VECTOR));
    assertEquals(1, lastWrite(LyingPci.QUEUE_ENABLE));
    Access last = pci.accesses.getLast();
    assertEquals(LyingPci.QUEUE_ENABLE, last.offset());
  }

  @Test
  @Requirement(
      section = PCI + "ISR status capability",
      text =
          "If MSI-X capability is enabled, the driver SHOULD NOT access ISR status upon detecting a"
              + " Queue Interrupt.")
  void messagesNeedNoStatus() throws IOException {
    find(VERSION_1, 0, 0);
    pci.vectors.forEach(Runnable::run);
    assertTrue(pci.accesses.stream().noneMatch(a -> isIsr(a)));
  }

  private boolean isIsr(Access access) {
    return access.window() == pci.common() && access.offset() == LyingPci.ISR;
  }

  @ParameterizedTest
  @CsvSource({"false, false", "false, true", "true, false", "true, true"})
  @Requirement(
      section = NOTIFICATIONS,
      text =
          "If VIRTIO_F_NOTIFICATION_DATA is not negotiated, the driver notification MUST be a 16-bit"
              + " notification.")
  @Requirement(
      section = NOTIFICATIONS,
      text =
          "If VIRTIO_F_NOTIFICATION_DATA is negotiated, the driver notification MUST be a 32-bit"
              + " notification.")
  @Requirement(
      section = NOTIFICATIONS,
      text =
          "If VIRTIO_F_NOTIF_CONFIG_DATA is not negotiated: If VIRTIO_F_NOTIFICATION_DATA is not"
              + " negotiated, the driver MUST set the notification value to the virtqueue index. If"
              + " VIRTIO_F_NOTIFICATION_DATA is negotiated, the driver MUST set the vq_index to the"
              + " virtqueue index.")
  @Requirement(
      section = NOTIFICATIONS,
      text =
          "If VIRTIO_F_NOTIF_CONFIG_DATA is negotiated: If VIRTIO_F_NOTIFICATION_DATA is not"
              + " negotiated, the driver MUST set the notification value to"
              + " queue_notif_config_data. If VIRTIO_F_NOTIFICATION_DATA is negotiated, the driver"
              + " MUST set the vq_notify_config_data to the queue_notif_config_data value.")
  void notifications(boolean data, boolean configData) throws IOException {
    pci.common().lie(NOTIF_CONFIG_DATA, 0xbeef).lie(LyingPci.NOTIFY_OFF, 3);
    FeatureBits features =
        VERSION_1
            .withIf(data, ReservedFeatures.VIRTIO_F_NOTIFICATION_DATA)
            .withIf(configData, ReservedFeatures.VIRTIO_F_NOTIF_CONFIG_DATA);
    DriverQueue queue = find(features, 0, 0).get(1);
    assertTrue(queue.notifyDevice());
    Access bell = writes(LyingPci.NOTIFY + 3 * 4).getLast();
    assertEquals(data ? 4 : 2, bell.width());
    int id = configData ? 0xbeef : 1;
    assertEquals(id, transport.notificationId(1));
    assertEquals(data ? queue.notificationData(id) & 0xffff_ffffL : id, bell.value());
  }

  @Test
  @Requirement(
      section =
          PCI
              + "PCI-specific Initialization And Device Operation / Device Initialization / Virtio"
              + " Device Configuration Layout Detection / Legacy Interface: A Note on Device Layout"
              + " Detection",
      text =
          "Non-transitional drivers MUST look for the Virtio PCI Capabilities on the capability"
              + " list. If these are not present, driver MUST assume a legacy device, and fail"
              + " gracefully.")
  void aModernDriverOfALegacyDeviceFails() {
    LyingPci legacy = LyingPci.legacy(0);
    IOException error =
        assertThrows(
            IOException.class,
            () ->
                new PciDriverTransport(
                    legacy,
                    PciDriverOptions.defaults().withChoice(PciDriverOptions.Choice.MODERN)));
    assertTrue(error.getMessage().contains("no common configuration structure"));
    assertTrue(legacy.closed);
    assertTrue(legacy.writes(legacy.bars.get(0), 18).isEmpty());
    assertFalse(legacy.accesses.isEmpty());
  }
}
