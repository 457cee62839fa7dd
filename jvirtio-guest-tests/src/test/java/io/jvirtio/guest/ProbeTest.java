// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.guest;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** {@code ./jvirtio probe}, as a user starts it, at devices that others wrote. */
class ProbeTest {
  private static final long SIZE = 32L << 20;

  @TempDir Path folder;

  private static String probe(Path socket, String... options) throws Exception {
    String[] command = new String[options.length + 3];
    command[0] = Lab.home().resolve("jvirtio").toString();
    command[1] = "probe";
    command[2] = "--socket-path=" + socket;
    System.arraycopy(options, 0, command, 3, options.length);
    return Host.run(command);
  }

  private static void assertSays(String output, String... texts) {
    for (String text : texts) {
      assertTrue(output.contains(text), () -> "no " + text + " in:\n" + output);
    }
  }

  @ParameterizedTest
  @EnumSource
  void blockDeviceIsPrintedAsItIs(StorageDaemon.Version version) throws Exception {
    Path image = Host.image(folder, "disk.img", SIZE);
    Path socket = folder.resolve("disk.sock");
    try (StorageDaemon _ =
        new StorageDaemon(
            version,
            folder,
            image,
            socket,
            "writable=on",
            "num-queues=4",
            "logical-block-size=4096")) {
      assertSays(
          probe(socket, "--json"),
          "\"device\":{\"id\":2,\"name\":\"blk\",\"inferred\":true,\"confidence\":\"high\"",
          "\"queues\":4,",
          "\"name\":\"VIRTIO_BLK_F_DISCARD\"",
          "\"name\":\"VIRTIO_F_VERSION_1\"",
          "\"name\":\"CONFIGURE_MEM_SLOTS\"",
          "\"capacity\":" + SIZE / 512 + ",",
          "\"blk_size\":4096,",
          "\"num_queues\":4,");
      String text = probe(socket, "--device=blk");
      assertSays(text, "blk (device id 2), as given", "32 MiB", "VIRTIO_BLK_F_MQ");
      assertFalse(text.contains("inferred"), text);
    }
  }

  @Test
  void readOnlyIsAmongTheFeatures() throws Exception {
    Path image = Host.image(folder, "disk.img", SIZE);
    Path socket = folder.resolve("disk.sock");
    try (StorageDaemon _ =
        new StorageDaemon(StorageDaemon.Version.LAB, folder, image, socket, "writable=off")) {
      assertSays(probe(socket), "VIRTIO_BLK_F_RO", "inferred with high confidence");
    }
  }

  @Test
  void fileSystemIsToldFromADisk() throws Exception {
    Path socket = folder.resolve("fs.sock");
    Path shared = Files.createDirectory(folder.resolve("shared"));
    // It ends when its first client leaves.
    try (Peer _ =
        Peer.start(
            folder,
            socket,
            Lab.path("BIN").resolve("enter").toString(),
            "/usr/libexec/virtiofsd",
            "--socket-path=" + socket,
            "--shared-dir=" + shared,
            "--tag=some-tag",
            "--sandbox=none")) {
      assertSays(
          probe(socket, "--json"),
          "\"device\":{\"id\":26,\"name\":\"fs\",\"inferred\":true,\"confidence\":\"high\"",
          "\"queues\":2,",
          "\"fields\":{\"tag\":\"some-tag\",\"num_request_queues\":1}",
          "\"name\":\"DEVICE_STATE\"");
    }
  }

  @Test
  void networkCardIsToldFromADisk() throws Exception {
    Path socket = folder.resolve("net.sock");
    try (Peer _ =
        Peer.start(
            folder,
            socket,
            Lab.path("BIN").resolve("dpdk-testpmd").toString(),
            "--no-huge",
            "--no-shconf",
            "-m",
            "128",
            "--no-pci",
            "--vdev",
            "net_vhost0,queues=2,iface=" + socket,
            "--",
            "-i",
            "--total-num-mbufs=2048")) {
      assertSays(
          probe(socket),
          "net (device id 1), inferred with high confidence",
          "VIRTIO_NET_F_MRG_RXBUF",
          "cannot be read (no CONFIG)");
    }
  }
}
