// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.driver.BusListener;
import io.jvirtio.driver.DeviceId;
import io.jvirtio.driver.Driver;
import io.jvirtio.driver.DriverDevice;
import io.jvirtio.driver.DriverDevice.State;
import io.jvirtio.driver.DriverType;
import io.jvirtio.driver.VirtioBus;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.spec.DeviceType;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Devices and drivers that find each other, and part. */
class VirtioBusTest {
  private static final int BLK = DeviceType.BLOCK.id();
  private static final int RNG = DeviceType.ENTROPY.id();

  private final VirtioBus bus = new VirtioBus(DriverDevice.ringFeatures(), Runnable::run);
  private final List<String> events = Collections.synchronizedList(new ArrayList<>());
  private final ScriptedTransport blk = new ScriptedTransport(BLK).vendor(7);
  private final ScriptedTransport rng = new ScriptedTransport(RNG).vendor(8);

  VirtioBusTest() {
    bus.listen(
        new BusListener() {
          @Override
          public void bound(DriverDevice device, Driver driver) {
            assertSame(driver, device.driver());
            events.add("bound " + device.deviceId() + " " + device.type().name());
          }

          @Override
          public void unbound(DriverDevice device) {
            events.add("unbound " + device.deviceId());
          }

          @Override
          public void failed(DriverDevice device, DriverType type, IOException reason) {
            events.add("failed " + device.deviceId() + " " + type.name());
          }

          @Override
          public void broken(DriverDevice device) {
            events.add("broken " + device.deviceId());
          }

          @Override
          public void lost(DriverDevice device) {
            events.add("lost " + device.deviceId());
          }
        });
  }

  @AfterEach
  void close() {
    bus.close();
    blk.close();
    rng.close();
  }

  private static TestDriverType type(String name, int deviceId) {
    return new TestDriverType(name, null).drives(DeviceId.ofDevice(deviceId));
  }

  private static TestDriverType.Step failing(String message) {
    return device -> {
      throw new IOException(message);
    };
  }

  @ParameterizedTest
  @CsvSource({
    "2, 7, 2, 7, true",
    "2, 7, 2, -1, true",
    "2, 7, -1, 7, true",
    "2, 7, -1, -1, true",
    "2, 7, 2, 8, false",
    "2, 7, 4, 7, false",
    "2, 0, 2, -1, true",
    // id 0 is no device, whatever the table says
    "0, 7, -1, -1, false",
    "0, 7, 0, 7, false",
  })
  void idsMatchWithWildcards(int device, int vendor, int id, int idVendor, boolean matches) {
    TestDriverType type =
        new TestDriverType("test", null).drives(new DeviceId(99, 99), new DeviceId(id, idVendor));
    bus.register(type);
    DriverDevice added = bus.add(new ScriptedTransport(device).vendor(vendor));
    assertEquals(matches, added.driver() != null);
    assertEquals(matches ? State.LIVE : State.NEW, added.state());
    assertEquals(matches, type.events.contains("probe"));
  }

  @Test
  void driversFindDevicesThatComeLater() {
    bus.register(type("b", BLK));
    bus.register(type("r", RNG));
    DriverDevice device = bus.add(blk);
    assertEquals("b", device.type().name());
    assertEquals("r", bus.add(rng).type().name());
    assertEquals(List.of("bound 2 b", "bound 4 r"), events);
  }

  @Test
  void devicesFindDriversThatComeLater() {
    DriverDevice device = bus.add(blk);
    assertNull(device.driver());
    assertEquals(List.of(), blk.calls(), "nothing is said to a device without a driver");
    bus.register(type("r", RNG));
    assertNull(device.driver());
    bus.register(type("b", BLK));
    assertEquals(State.LIVE, device.state());
    bus.register(type("late", BLK));
    assertEquals("b", device.type().name(), "who drives keeps it");
  }

  @Test
  void eachDriverIsTriedUntilOneTakesTheDevice() {
    TestDriverType first = type("first", BLK).in("validate", failing("no"));
    TestDriverType second =
        type("second", BLK)
            .in(
                "probe",
                d -> {
                  throw new IllegalStateException("a bug");
                });
    TestDriverType third = type("third", BLK);
    List.of(first, second, third).forEach(bus::register);
    DriverDevice device = bus.add(blk);
    assertEquals("third", device.type().name());
    assertEquals(State.LIVE, device.state());
    assertNull(device.failure());
    assertEquals(List.of("failed 2 first", "failed 2 second", "bound 2 third"), events);
    assertEquals(3, blk.calls().stream().filter("reset"::equals).count());
  }

  @Test
  void aDeviceThatNobodyTakesWaits() {
    bus.register(type("unwilling", BLK).in("probe", failing("not this one")));
    DriverDevice device = bus.add(blk);
    assertEquals(State.FAILED, device.state());
    assertEquals("not this one", device.failure().getMessage());
    bus.add(rng);
    bus.register(type("willing", DeviceId.ANY));
    assertEquals("willing", device.type().name());
    assertEquals(2, bus.devices().stream().filter(d -> d.state() == State.LIVE).count());
  }

  @Test
  void aDeviceThatFailsHurtsNoOther() {
    bus.register(type("any", DeviceId.ANY));
    blk.lose(new IOException("gone"));
    DriverDevice lost = bus.add(blk);
    assertNotNull(lost.failure());
    assertNull(lost.driver());
    assertEquals(State.LIVE, bus.add(rng).state());
  }

  @Test
  void removalFailsWhatIsInFlight() throws Exception {
    TestDriverType type = new TestDriverType("b", blk.owner());
    bus.register(type);
    DriverDevice device = bus.add(blk);
    assertTrue(type.last.send("request"));
    bus.remove(device);
    assertEquals(List.of("request"), type.last.failed);
    assertThrows(PeerFault.class, () -> type.last.queue.add(null, "late"));
    assertEquals(State.REMOVED, device.state());
    assertTrue(blk.isClosed());
    assertEquals(List.of(), bus.devices());
    bus.remove(device);
    assertEquals(List.of("bound 2 b", "unbound 2"), events);
  }

  @Test
  void aDriverTypeThatLeavesTakesItsDriversAlong() throws IOException {
    TestDriverType type = type("b", BLK);
    bus.register(type);
    bus.register(type("r", RNG));
    DriverDevice device = bus.add(blk);
    DriverDevice other = bus.add(rng);
    bus.unregister(type);
    assertNull(device.driver());
    assertEquals(State.NEW, device.state());
    assertEquals(State.LIVE, other.state());
    assertEquals("remove", type.events.getLast());
    assertEquals(List.of(device, other), bus.devices());
    bus.unregister(type);
    bus.register(type);
    assertEquals(State.LIVE, device.state());
  }

  @Test
  void listenersHearWhatDevicesDo() throws IOException {
    bus.register(type("any", DeviceId.ANY));
    DriverDevice first = bus.add(blk);
    bus.add(rng);
    events.clear();
    blk.needReset();
    rng.lose(new IOException("gone"));
    assertEquals(List.of("broken 2", "lost 4"), events);
    first.recover(Duration.ofSeconds(1));
    assertTrue(first.isReady());
  }

  @Test
  void aListenerThatFailsHurtsNobody() {
    VirtioBus other = new VirtioBus(DriverDevice.ringFeatures(), Runnable::run);
    AtomicInteger heard = new AtomicInteger();
    other.listen(
        new BusListener() {
          @Override
          public void bound(DriverDevice device, Driver driver) {
            throw new IllegalStateException("a bug");
          }
        });
    other.listen(
        new BusListener() {
          @Override
          public void bound(DriverDevice device, Driver driver) {
            heard.incrementAndGet();
          }
        });
    other.register(type("b", BLK));
    assertTrue(other.add(blk).isReady());
    assertEquals(1, heard.get());
    other.close();
  }

  @Test
  void allFreezeBackwardsAndComeBackForwards() throws IOException {
    List<String> order = new ArrayList<>();
    TestDriverType type =
        new TestDriverType("any", null)
            .in("freeze", d -> order.add("freeze " + d.deviceId()))
            .in("restore", d -> order.add("restore " + d.deviceId()));
    bus.register(type);
    bus.add(blk);
    bus.add(rng);
    ScriptedTransport nobodys = new ScriptedTransport(0);
    bus.add(nobodys);
    bus.freeze();
    bus.freeze();
    bus.restore();
    bus.restore();
    assertEquals(List.of("freeze 4", "freeze 2", "restore 2", "restore 4"), order);
  }

  @Test
  void oneThatCannotBeRestoredDoesNotKeepTheOthers() throws IOException {
    bus.register(type("b", BLK).in("restore", failing("no")));
    bus.register(type("r", RNG));
    DriverDevice bad = bus.add(blk);
    DriverDevice good = bus.add(rng);
    bus.freeze();
    events.clear();
    IOException e = assertThrows(IOException.class, bus::restore);
    assertEquals("no", e.getMessage());
    assertEquals(State.FAILED, bad.state());
    assertEquals(State.LIVE, good.state());
    assertEquals(List.of("failed 2 b"), events);
  }

  @Test
  void oneThatCannotFreezeDoesNotKeepTheOthers() {
    bus.register(type("b", BLK));
    bus.register(type("r", RNG).in("freeze", failing("no")));
    DriverDevice good = bus.add(blk);
    DriverDevice bad = bus.add(rng);
    assertThrows(IOException.class, bus::freeze);
    assertEquals(State.FROZEN, good.state());
    assertEquals(State.LIVE, bad.state());
  }

  @Test
  void mistakesAreRefused() {
    TestDriverType type = type("b", BLK);
    bus.register(type);
    assertThrows(IllegalArgumentException.class, () -> bus.register(type));
    assertThrows(
        IllegalArgumentException.class, () -> bus.register(type("bad", BLK).understands(30)));
    assertEquals(List.of(type), bus.drivers());
    bus.add(rng);
    bus.close();
    assertTrue(rng.isClosed());
    assertThrows(IllegalStateException.class, () -> bus.add(blk));
    assertFalse(blk.isClosed(), "still the caller's");
    assertThrows(IllegalStateException.class, () -> bus.register(type("r", RNG)));
  }

  /** A driver that uses the bus in its callbacks finds no lock in its way. */
  @Test
  void aDriverMayUseTheBus() {
    List<ScriptedTransport> more = new ArrayList<>();
    TestDriverType type =
        type("b", BLK)
            .in(
                "scan",
                d -> {
                  ScriptedTransport child = new ScriptedTransport(RNG);
                  more.add(child);
                  bus.add(child);
                  bus.register(type("r", RNG));
                });
    bus.register(type);
    bus.add(blk);
    assertEquals(List.of("bound 4 r", "bound 2 b"), events);
    assertEquals(2, bus.devices().size());
  }

  @Test
  void devicesAndDriversComeAndGoOnManyThreads() throws Exception {
    try (VirtioBus busy = new VirtioBus()) {
      AtomicReference<Throwable> failure = new AtomicReference<>();
      List<Thread> threads = new ArrayList<>();
      for (int n = 0; n < 4; n++) {
        boolean devices = n < 2;
        threads.add(
            Thread.ofPlatform()
                .start(
                    () -> {
                      try {
                        for (int i = 0; i < 100; i++) {
                          if (devices) {
                            ScriptedTransport one = new ScriptedTransport(BLK);
                            DriverDevice device = busy.add(one);
                            one.notifyConfigurationChange();
                            busy.remove(device);
                            assertTrue(one.isClosed());
                            assertNull(device.driver());
                          } else {
                            TestDriverType type = type("t" + i, BLK);
                            busy.register(type);
                            busy.unregister(type);
                            long probes = type.events.stream().filter("probe"::equals).count();
                            long removes = type.events.stream().filter("remove"::equals).count();
                            assertEquals(probes, removes);
                          }
                        }
                      } catch (Throwable e) {
                        failure.compareAndSet(null, e);
                      }
                    }));
      }
      for (Thread thread : threads) {
        thread.join(Duration.ofSeconds(60));
        assertFalse(thread.isAlive());
      }
      assertNull(failure.get());
      assertEquals(List.of(), busy.devices());
    }
  }
}
