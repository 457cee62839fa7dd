// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import io.jvirtio.device.ConfigSpace;
import io.jvirtio.device.QueueHandler;
import io.jvirtio.device.QueueOwner;
import io.jvirtio.device.VirtioDevice;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DescriptorChain;
import io.jvirtio.queue.DeviceQueue;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.Struct;
import java.util.ArrayList;
import java.util.List;
import java.util.function.BooleanSupplier;

/** A device that does with its buffers what a test tells it. */
final class PuppetDevice implements VirtioDevice {
  static final int DEVICE_ID = 42;
  static final int FEATURE_A = 0;
  static final int FEATURE_B = 70;

  /** What happens to one buffer. */
  interface Action {
    void take(DeviceQueue queue, DescriptorChain chain) throws PeerFault;
  }

  private final int queues;
  private final int maxSize;
  private final ConfigSpace config =
      new ConfigSpace(
          Struct.named("scripted")
              .le64("capacity")
              .le32("blocks")
              .le16("ports")
              .u8("mode")
              .u8("pad")
              .size(16));

  final List<DescriptorChain> held = new ArrayList<>();
  final List<DeviceQueue> started = new ArrayList<>();
  Action action = PuppetDevice::echo;
  FeatureBits required = FeatureBits.NONE;
  FeatureBits negotiated;
  int negotiations;
  int resets;
  int stops;
  boolean failStart;
  BooleanSupplier mayNotify = () -> true;

  /** Set while {@link #held} is to be given back: once nothing is to be consumed any more. */
  boolean releaseWhenPolled;

  PuppetDevice(int queues, int maxSize) {
    this.queues = queues;
    this.maxSize = maxSize;
  }

  static PuppetDevice echoing() {
    return new PuppetDevice(1, 256);
  }

  static PuppetDevice echoing(int maxSize) {
    return new PuppetDevice(1, maxSize);
  }

  /** Keeps buffers until the test gives them back. */
  static PuppetDevice holding(int maxSize) {
    PuppetDevice device = new PuppetDevice(1, maxSize);
    device.action = (queue, chain) -> device.held.add(chain);
    return device;
  }

  /** Copies as much as fits of what is readable to what is writable. */
  static void echo(DeviceQueue queue, DescriptorChain chain) {
    queue.push(chain, chain.writer().copyFrom(chain.reader()));
  }

  @Override
  public int deviceId() {
    return DEVICE_ID;
  }

  @Override
  public int queueCount() {
    return queues;
  }

  @Override
  public int queueMaxSize(int queue) {
    return maxSize;
  }

  @Override
  public FeatureBits features() {
    return FeatureBits.of(FEATURE_A, FEATURE_B);
  }

  @Override
  public ConfigSpace config() {
    return config;
  }

  @Override
  public boolean accepts(FeatureBits features) {
    return required.isSubsetOf(features);
  }

  @Override
  public void negotiated(FeatureBits features) {
    negotiated = features;
    negotiations++;
  }

  @Override
  public void reset() {
    resets++;
  }

  @Override
  public QueueHandler startQueue(DeviceQueue queue, QueueOwner owner) {
    if (failStart) {
      throw new IllegalStateException("no such luck");
    }
    started.add(queue);
    return new QueueHandler() {
      @Override
      public void available(DeviceQueue ready) throws PeerFault {
        for (DescriptorChain chain = ready.pop(); chain != null; chain = ready.pop()) {
          action.take(ready, chain);
        }
      }

      @Override
      public boolean poll() {
        boolean any = releaseWhenPolled && !held.isEmpty();
        if (any) {
          held.forEach(chain -> echo(queue, chain));
          held.clear();
        }
        return any;
      }

      @Override
      public boolean mayNotify() {
        return mayNotify.getAsBoolean();
      }

      @Override
      public void stopped() {
        stops++;
      }
    };
  }
}
