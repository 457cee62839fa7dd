// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import io.jvirtio.device.QueueOwner;
import io.jvirtio.driver.DeviceId;
import io.jvirtio.driver.Driver;
import io.jvirtio.driver.DriverDevice;
import io.jvirtio.driver.DriverType;
import io.jvirtio.driver.QueueRequest;
import io.jvirtio.driver.UsedBufferHandler;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DriverBuffer;
import io.jvirtio.queue.DriverQueue;
import io.jvirtio.spec.FeatureBits;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * A driver type that writes down what is asked of it and of its drivers, and does in between what a
 * test says.
 */
final class TestDriverType implements DriverType {
  /** What a test does in a driver's method. */
  interface Step {
    void run(DriverDevice device) throws IOException;
  }

  final List<String> events = Collections.synchronizedList(new ArrayList<>());
  private final Map<String, Step> steps = new HashMap<>();
  private final String name;
  private final QueueOwner owner;
  private List<DeviceId> ids = List.of(DeviceId.ofDevice(DeviceId.ANY));
  private FeatureBits features = FeatureBits.NONE;
  private FeatureBits required = FeatureBits.NONE;
  TestDriver last;

  /**
   * @param owner of the queue that each driver makes; null for drivers without one
   */
  TestDriverType(String name, QueueOwner owner) {
    this.name = name;
    this.owner = owner;
  }

  TestDriverType drives(DeviceId... ids) {
    this.ids = List.of(ids);
    return this;
  }

  TestDriverType understands(int... bits) {
    features = FeatureBits.of(bits);
    return this;
  }

  TestDriverType needs(int... bits) {
    required = FeatureBits.of(bits);
    return this;
  }

  /** Does something in a method; null for nothing more. */
  TestDriverType in(String method, Step step) {
    steps.put(method, step);
    return this;
  }

  private void step(String method, DriverDevice device) throws IOException {
    events.add(method);
    Step step = steps.get(method);
    if (step != null) {
      step.run(device);
    }
  }

  @Override
  public String name() {
    return name;
  }

  @Override
  public List<DeviceId> ids() {
    return ids;
  }

  @Override
  public FeatureBits features() {
    return features;
  }

  @Override
  public FeatureBits requiredFeatures() {
    return required;
  }

  @Override
  public void validate(DriverDevice device) throws IOException {
    step("validate", device);
  }

  @Override
  public Driver probe(DriverDevice device) throws IOException {
    TestDriver driver = new TestDriver(device);
    last = driver;
    driver.makeQueue();
    step("probe", device);
    return driver;
  }

  /** A driver whose requests are tokens that come back done, failed or kept. */
  final class TestDriver implements Driver, UsedBufferHandler {
    final DriverDevice device;
    final List<Object> inFlight = new ArrayList<>();
    final List<Object> done = new ArrayList<>();
    final List<Object> failed = new ArrayList<>();
    final List<PeerFault> faults = new ArrayList<>();
    DriverQueue queue;

    TestDriver(DriverDevice device) {
      this.device = device;
    }

    private void makeQueue() throws IOException {
      if (owner != null) {
        QueueRequest request = new QueueRequest("requests", 0, 1, this, owner);
        queue = device.findQueues(List.of(request)).getFirst();
      }
    }

    /** Sends a request; false when the queue is of no use. */
    boolean send(Object token) throws IOException, PeerFault {
      DriverBuffer buffer = new DriverBuffer(device.transport().memory(), 1);
      buffer.writable(device.transport().memory().allocate(64, 64));
      inFlight.add(token);
      return queue.add(buffer, token) && queue.kick();
    }

    @Override
    public void used(DriverQueue from) throws PeerFault {
      for (Object token = from.get(); token != null; token = from.get()) {
        inFlight.remove(token);
        done.add(token);
      }
    }

    @Override
    public void broken(DriverQueue which, PeerFault fault) {
      faults.add(fault);
      fail();
    }

    private void fail() {
      failed.addAll(inFlight);
      inFlight.clear();
    }

    private void run(String method) {
      try {
        step(method, device);
      } catch (IOException e) {
        throw new IllegalStateException(e);
      }
    }

    @Override
    public void scan() throws IOException {
      step("scan", device);
    }

    @Override
    public void configurationChanged() {
      run("changed");
    }

    @Override
    public void remove() {
      run("remove");
      device.reset();
      fail();
      device.deleteQueues();
    }

    @Override
    public void freeze() throws IOException {
      step("freeze", device);
      device.reset();
      fail();
      device.deleteQueues();
    }

    @Override
    public void restore() throws IOException {
      makeQueue();
      step("restore", device);
    }
  }
}
