// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.pci;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.memory.GuestMemory;
import io.jvirtio.spec.DeviceStatus;
import io.jvirtio.testkit.Requirement;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import org.junit.jupiter.api.Test;

/** What the bus does to a function: mastering, memory, resets that take long, the end. */
class FunctionBusTest {
  private static final String COMMON =
      "Virtio Over PCI Bus / Common configuration structure layout";
  private static final int LIVE = 0xf;

  @Test
  void withoutTheBusNothingIsTransferred() {
    try (FunctionRig rig = new FunctionRig(PciOptions.defaults())) {
      rig.start();
      rig.transfer(0);
      rig.setConfig(4, 2, 2);
      rig.transfer(0);
      rig.transfer(1);
      assertEquals(1, rig.used(0));
      assertEquals(0, rig.used(1));
      assertEquals(LIVE, rig.common(0x14, 1));
      // Memory may be moved meanwhile.
      rig.function.setMemory(rig.memory());
      rig.function.growMemory(rig.memory());
      rig.setConfig(4, 2, 6);
      rig.owner.runUntilIdle();
      assertEquals(2, rig.used(0));
      assertEquals(1, rig.used(1));
      assertEquals(LIVE, rig.common(0x14, 1));
      assertEquals(0, rig.ignored());
    }
  }

  @Test
  void aQueueThatIsResetMeanwhileDoesNotGoOn() {
    try (FunctionRig rig = new FunctionRig(PciOptions.defaults())) {
      rig.start();
      rig.setConfig(4, 2, 2);
      rig.setCommon(0x16, 2, 1);
      rig.setCommon(0x3a, 2, 1);
      rig.setConfig(4, 2, 6);
      rig.transfer(1);
      rig.transfer(0);
      assertEquals(0, rig.used(1));
      assertEquals(1, rig.used(0));
      rig.setConfig(4, 2, 2);
      rig.setCommon(0x14, 1, 0);
      rig.setConfig(4, 2, 6);
      rig.transfer(0);
      assertEquals(1, rig.used(0));
    }
  }

  @Test
  void aDriverThatStartsWithoutTheBusFails() {
    try (FunctionRig rig = new FunctionRig(PciOptions.defaults())) {
      rig.negotiate();
      rig.setConfig(4, 2, 2);
      rig.enable(0);
      rig.setCommon(0x14, 1, LIVE);
      assertEquals(LIVE | DeviceStatus.DEVICE_NEEDS_RESET, rig.common(0x14, 1));
      assertTrue(rig.pin);
      rig.setConfig(4, 2, 6);
      rig.transfer(0);
      assertEquals(0, rig.used(0));
      rig.setConfig(4, 2, 2);
      rig.setConfig(4, 2, 6);
      rig.setCommon(0x14, 1, 0);
      rig.clear(0);
      rig.start();
      rig.transfer(0);
      assertEquals(1, rig.used(0));
    }
  }

  @Test
  void memoryThatGoesHaltsItsQueues() {
    try (FunctionRig rig = new FunctionRig(PciOptions.defaults())) {
      rig.start();
      rig.transfer(0);
      rig.function.setMemory(GuestMemory.EMPTY);
      assertEquals(LIVE, rig.common(0x14, 1));
      rig.transfer(0);
      assertEquals(1, rig.used(0));
      rig.function.setMemory(rig.memory());
      rig.owner.runUntilIdle();
      assertEquals(2, rig.used(0));
    }
  }

  private interface Condition {
    boolean holds();
  }

  private static void await(Condition condition) throws InterruptedException {
    long end = System.nanoTime() + 20_000_000_000L;
    while (!condition.holds()) {
      assertTrue(System.nanoTime() < end, "waited in vain");
      Thread.sleep(1);
    }
  }

  @Test
  @Requirement(
      section = COMMON,
      text =
          "The device MUST reset when 0 is written to device_status, and present a 0 in"
              + " device_status once that is done.")
  void aResetThatTakesLongGoesOnElsewhere() throws InterruptedException {
    try (ExecutorService resets = Executors.newSingleThreadExecutor();
        FunctionRig rig = new FunctionRig(PciOptions.defaults().withResets(resets))) {
      rig.start();
      rig.setCommon(0x10, 2, 1);
      rig.device.holding = true;
      rig.transfer(0);
      rig.setCommon(0x14, 1, 0);
      assertEquals(LIVE, rig.common(0x14, 1));
      // None of this has an effect, and none waits.
      rig.setCommon(0x14, 1, 1);
      rig.setCommon(0x14, 1, 0);
      rig.setConfig(4, 2, 0);
      rig.function.reset();
      assertEquals(1, rig.ignored());
      rig.device.holding = false;
      await(() -> rig.common(0x14, 1) == 0);
      assertEquals(0xffff, rig.common(0x10, 2));
      assertEquals(0, rig.common(0x1c, 2));
      assertFalse(rig.pin);
      assertEquals(1, rig.used(0));
      rig.clear(0);
      rig.start();
      rig.transfer(0);
      assertEquals(1, rig.used(0));
    }
  }

  @Test
  @Requirement(
      section = COMMON,
      text =
          "The device MUST reset the queue when 1 is written to queue_reset. The device MUST"
              + " continue to present 1 in queue_reset as long as the queue reset is ongoing. The"
              + " device MUST present 0 in both queue_reset and queue_enable when queue reset has"
              + " completed.")
  void theResetOfAQueueMayTakeLongToo() throws InterruptedException {
    try (ExecutorService resets = Executors.newSingleThreadExecutor();
        FunctionRig rig = new FunctionRig(PciOptions.defaults().withResets(resets))) {
      rig.start();
      rig.device.holding = true;
      rig.transfer(0);
      rig.setCommon(0x16, 2, 0);
      rig.setCommon(0x3a, 2, 1);
      assertEquals(1, rig.common(0x3a, 2));
      rig.setCommon(0x3a, 2, 1);
      assertEquals(1, rig.ignored());
      rig.device.holding = false;
      await(() -> rig.common(0x3a, 2) == 0);
      assertEquals(0, rig.common(0x1c, 2));
      rig.clear(0);
      rig.enable(0);
      rig.transfer(0);
      assertEquals(1, rig.used(0));
    }
  }

  @Test
  void afterTheEndNothingHappens() {
    FunctionRig rig = new FunctionRig(FunctionRig.options(PciProfile.TRANSITIONAL));
    rig.start();
    rig.close();
    assertEquals(0, rig.common(0x14, 1));
    rig.setCommon(0x14, 1, 1);
    rig.setCommon(0x1c, 2, 1);
    rig.setBar(0, 8, 4, 0x100);
    rig.setBar(0, 16, 2, 0);
    assertEquals(0, rig.common(0x14, 1));
    assertEquals(3, rig.ignored());
    rig.close();
  }
}
