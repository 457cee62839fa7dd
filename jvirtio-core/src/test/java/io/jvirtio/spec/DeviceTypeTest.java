// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.spec;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class DeviceTypeTest {
  @ParameterizedTest
  @CsvSource({
    "1, net, 2, true",
    "2, blk, 1, true",
    "3, console, 2, true",
    "4, rng, 1, false",
    "5, balloon, 2, false",
    "8, scsi, 3, true",
    "16, gpu, 2, false",
    "17, rtc, 1, false",
    "18, input, 2, false",
    "19, vsock, 3, false",
    "20, crypto, 2, true",
    "23, iommu, 2, false",
    "24, mem, 1, false",
    "25, sound, 4, false",
    "26, fs, 2, true",
    "27, pmem, 1, false",
    "28, rpmb, 1, false",
    "32, scmi, 1, false",
    "34, i2c, 1, false",
    "36, can, 3, false",
    "41, gpio, 1, false",
    "45, spi, 1, false",
    "48, media, 2, false"
  })
  void specifiedTypesHaveIdsAndQueues(int id, String name, int queues, boolean more) {
    DeviceType type = DeviceType.of(id);
    assertSame(type, DeviceType.named(name));
    assertEquals(name, type.shortName());
    assertEquals(queues, type.minQueues());
    assertEquals(more, type.hasMoreQueues());
    assertTrue(type.isSpecified());
  }

  @Test
  void specifiedTypesComeInTheOrderOfTheirIds() {
    assertEquals(
        List.of(
            1, 2, 3, 4, 5, 8, 16, 17, 18, 19, 20, 23, 24, 25, 26, 27, 28, 32, 34, 36, 41, 45, 48),
        DeviceType.specified().stream().map(DeviceType::id).toList());
  }

  @ParameterizedTest
  @CsvSource({
    "6, iomem",
    "7, rpmsg",
    "9, 9p",
    "10, mac-wlan",
    "11, rproc-serial",
    "12, caif",
    "13, mem-balloon",
    "21, signal",
    "22, pstore",
    "29, mac-hwsim",
    "30, vid-encoder",
    "31, vid-decoder",
    "33, nitro-sec-mod",
    "35, watchdog",
    "38, param-serv",
    "39, audio-pol",
    "40, bluetooth"
  })
  void typesOfWhichTheSpecificationSaysNoMoreThanTheId(int id, String name) {
    DeviceType type = DeviceType.of(id);
    assertSame(type, DeviceType.named(name));
    assertFalse(type.isSpecified());
    assertEquals(0, type.minQueues());
    assertTrue(type.hasMoreQueues());
    assertSame(Struct.EMPTY, type.config());
    assertTrue(type.features().isEmpty());
    assertNull(type.featureName(0));
  }

  @Test
  void namesAndIdsAreUnique() {
    Set<Object> seen = new HashSet<>();
    for (DeviceType type : DeviceType.values()) {
      assertTrue(seen.add(type.id()), type + " has the id of another");
      assertTrue(seen.add(type.shortName()), type + " has the name of another");
    }
    assertNull(DeviceType.named("nothing"));
    assertNull(DeviceType.named(""));
    assertNull(DeviceType.of(46));
  }

  @ParameterizedTest
  @CsvSource({
    "net, 17, 3",
    "console, 1, 4",
    "balloon, 1, 3",
    "balloon, 3, 3",
    "balloon, 5, 3",
    "balloon, 0, 2",
    "rtc, 0, 2",
    "fs, 0, 3",
    "scmi, 0, 2",
    "scmi, 1, 1",
    "gpio, 0, 2",
    "blk, 12, 1"
  })
  void someFeaturesBringAQueue(String type, int bit, int queues) {
    assertEquals(queues, DeviceType.named(type).minQueues(FeatureBits.of(bit)));
  }

  @ParameterizedTest
  @CsvSource({
    "net, 0, VIRTIO_NET_F_CSUM",
    "net, 3, VIRTIO_NET_F_MTU",
    "net, 5, VIRTIO_NET_F_MAC",
    "net, 6, VIRTIO_NET_F_GSO",
    "net, 15, VIRTIO_NET_F_MRG_RXBUF",
    "net, 22, VIRTIO_NET_F_MQ",
    "net, 23, VIRTIO_NET_F_CTRL_MAC_ADDR",
    "net, 42, VIRTIO_NET_F_GUEST_RSC6",
    "net, 50, VIRTIO_NET_F_DEVICE_STATS",
    "net, 57, VIRTIO_NET_F_HASH_REPORT",
    "net, 63, VIRTIO_NET_F_SPEED_DUPLEX",
    "net, 64, VIRTIO_NET_F_RSS_CONTEXT",
    "net, 65, VIRTIO_NET_F_GUEST_UDP_TUNNEL_GSO",
    "net, 68, VIRTIO_NET_F_HOST_UDP_TUNNEL_GSO_CSUM",
    "net, 70, VIRTIO_NET_F_IPSEC",
    "blk, 0, VIRTIO_BLK_F_BARRIER",
    "blk, 7, VIRTIO_BLK_F_SCSI",
    "blk, 17, VIRTIO_BLK_F_ZONED",
    "console, 1, VIRTIO_CONSOLE_F_MULTIPORT",
    "balloon, 5, VIRTIO_BALLOON_F_PAGE_REPORTING",
    "scsi, 1, VIRTIO_SCSI_F_HOTPLUG",
    "gpu, 4, VIRTIO_GPU_F_CONTEXT_INIT",
    "vsock, 1, VIRTIO_VSOCK_F_SEQPACKET",
    "crypto, 5, VIRTIO_CRYPTO_F_AKCIPHER_STATELESS_MODE",
    "iommu, 6, VIRTIO_IOMMU_F_BYPASS_CONFIG",
    "mem, 1, VIRTIO_MEM_F_UNPLUGGED_INACCESSIBLE",
    "sound, 0, VIRTIO_SND_F_CTLS",
    "fs, 0, VIRTIO_FS_F_NOTIFICATION",
    "pmem, 0, VIRTIO_PMEM_F_SHMEM_REGION",
    "scmi, 1, VIRTIO_SCMI_F_SHARED_MEMORY",
    "i2c, 0, VIRTIO_I2C_F_ZERO_LENGTH_REQUEST",
    "can, 2, VIRTIO_CAN_F_RTR_FRAMES",
    "gpio, 0, VIRTIO_GPIO_F_IRQ",
    "rtc, 0, VIRTIO_RTC_F_ALARM"
  })
  void featuresHaveTheSpecificationsNames(String type, int bit, String name) {
    assertEquals(name, DeviceType.named(type).featureName(bit));
    assertEquals(name, FeatureNames.of(DeviceType.named(type).id(), bit));
  }

  @ParameterizedTest
  @CsvSource({
    "net, 45", "blk, 16", "console, 3", "rng, 0", "balloon, 6", "scsi, 4", "gpu, 5", "rtc, 1",
    "input, 0", "vsock, 3", "crypto, 6", "iommu, 7", "mem, 3", "sound, 1", "fs, 1", "pmem, 1",
    "rpmb, 0", "scmi, 2", "i2c, 1", "can, 4", "gpio, 1", "spi, 0", "media, 0"
  })
  void typesDefineSoManyFeatures(String type, int count) {
    FeatureBits features = DeviceType.named(type).features();
    assertEquals(count, features.bits().size());
    for (int bit = 0; bit < 128; bit++) {
      assertEquals(features.has(bit), DeviceType.named(type).featureName(bit) != null);
    }
  }

  @Test
  void reservedBitsKeepTheirNamesWhateverTheType() {
    assertEquals("VIRTIO_F_ADMIN_VQ", FeatureNames.of(DeviceType.NETWORK.id(), 41));
    assertEquals("VIRTIO_F_VERSION_1", FeatureNames.of(0, 32));
    assertEquals("bit 0", FeatureNames.of(0, 0));
    assertEquals("bit 4", FeatureNames.of(DeviceType.NETWORK.id(), 4));
  }

  @Test
  void requirementsAreThoseOfTheSpecification() {
    assertEquals(33, DeviceType.NETWORK.requirements().size());
    assertEquals(5, DeviceType.CRYPTO.requirements().size());
    assertEquals(1, DeviceType.GPU.requirements().size());
    assertEquals(1, DeviceType.CAN.requirements().size());
    assertEquals(List.of(), DeviceType.BLOCK.requirements());

    assertEquals(List.of(), broken(DeviceType.NETWORK, FeatureBits.of(0, 1, 5, 15, 16)));
    assertEquals(List.of(11), broken(DeviceType.NETWORK, FeatureBits.of(11)));
    assertEquals(List.of(), broken(DeviceType.NETWORK, FeatureBits.of(0, 11, 13)));
    assertEquals(List.of(13), broken(DeviceType.NETWORK, FeatureBits.of(0, 13)));
    assertEquals(List.of(51, 51), broken(DeviceType.NETWORK, FeatureBits.of(51)));
    assertEquals(List.of(3), broken(DeviceType.CRYPTO, FeatureBits.of(3)));
    assertEquals(List.of(), broken(DeviceType.GPU, FeatureBits.of(0, 4)));
    assertEquals(List.of(2), broken(DeviceType.CAN, FeatureBits.of(1, 2)));
  }

  private static List<Integer> broken(DeviceType type, FeatureBits features) {
    return type.requirements().stream()
        .filter(r -> !r.holds(features))
        .map(FeatureRequirement::feature)
        .toList();
  }
}
