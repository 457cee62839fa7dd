// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli.boot;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.List;
import org.junit.jupiter.api.Test;

/** Modules come behind all that they need, whatever the order in modules.dep. */
class ModuleOrderTest {
  private final ModuleOrder order =
      new ModuleOrder(
          List.of(
              "k/virtio_blk.ko: k/virtio.ko k/virtio_ring.ko",
              "k/virtio.ko: k/virtio_ring.ko",
              "k/virtio_ring.ko:",
              "k/virtio-rng.ko: k/virtio_ring.ko k/virtio.ko",
              ""));

  @Test
  void needsComeFirstAndOnce() {
    assertEquals(
        List.of("k/virtio_ring.ko", "k/virtio.ko", "k/virtio_blk.ko", "k/virtio-rng.ko"),
        order.load(List.of("virtio_blk", "virtio_rng", "virtio")));
  }

  @Test
  void builtInModulesAreLeftOut() {
    assertEquals(List.of(), order.load(List.of("ext4")));
  }

  @Test
  void circleIsRefused() {
    ModuleOrder circle = new ModuleOrder(List.of("a.ko: b.ko", "b.ko: a.ko"));
    assertThrows(IllegalArgumentException.class, () -> circle.load(List.of("a")));
  }

  @Test
  void lineWithoutColonIsRefused() {
    List<String> lines = List.of("a.ko b.ko");
    assertThrows(IllegalArgumentException.class, () -> new ModuleOrder(lines));
  }
}
