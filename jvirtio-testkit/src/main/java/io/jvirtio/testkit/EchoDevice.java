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
import java.util.concurrent.atomic.AtomicInteger;

/**
 * A device of three queues, for tests of what carries a device: copies what is readable to what is
 * writable, at once or when a test lets it. Its configuration space has {@code capacity}, of 64
 * bits, {@code mode}, a byte that the driver may write, {@code fixed}, one that it may not, and 10
 * bytes in all.
 *
 * <p>What the device host calls is for the owner of the queues, which are all to have the same one
 * when buffers are held; {@link #hold}, {@link #release} and {@link #held} are for any thread.
 */
public class EchoDevice implements VirtioDevice {
  /** How many queues it has. */
  public static final int QUEUES = 3;

  /** The size of each queue, in descriptors, at most. */
  public static final int MAX_SIZE = 64;

  /** A feature bit that it offers, and that changes nothing. */
  public static final int FEATURE = 5;

  /** A feature bit that it offers, but with which it accepts no driver's choice. */
  public static final int REFUSED_FEATURE = 6;

  private final AtomicInteger held = new AtomicInteger();
  private final ConfigSpace config =
      new ConfigSpace(Struct.named("echo").le64("capacity").u8("mode").u8("fixed").size(10))
          .set("capacity", 0x1122334455667788L)
          .set("mode", 1)
          .writable("mode", value -> {});
  private volatile boolean holding;
  private volatile QueueOwner lastOwner;

  /** A device that holds nothing back. */
  public EchoDevice() {}

  /** Buffers stay in flight from now on. Any thread. */
  public void hold() {
    holding = true;
  }

  /**
   * Everything held is used, soon, and nothing is held any more. Any thread, once a queue has
   * started.
   *
   * @throws java.util.concurrent.RejectedExecutionException when the owner of the queue that was
   *     started last is closed
   */
  public void release() {
    holding = false;
    lastOwner.execute(() -> {});
  }

  /** How many buffers of all queues it holds, 0 or more. Any thread. */
  public int held() {
    return held.get();
  }

  @Override
  public int deviceId() {
    return 42;
  }

  @Override
  public int queueCount() {
    return QUEUES;
  }

  @Override
  public int queueMaxSize(int queue) {
    return MAX_SIZE;
  }

  @Override
  public FeatureBits features() {
    return FeatureBits.of(FEATURE, REFUSED_FEATURE);
  }

  @Override
  public boolean accepts(FeatureBits negotiated) {
    return !negotiated.has(REFUSED_FEATURE);
  }

  @Override
  public ConfigSpace config() {
    return config;
  }

  @Override
  public QueueHandler startQueue(DeviceQueue queue, QueueOwner owner) {
    lastOwner = owner;
    return new Handler(queue);
  }

  private final class Handler implements QueueHandler {
    private final DeviceQueue queue;
    private final List<DescriptorChain> mine = new ArrayList<>();

    Handler(DeviceQueue queue) {
      this.queue = queue;
    }

    @Override
    public void available(DeviceQueue ready) throws PeerFault {
      for (DescriptorChain chain = ready.pop(); chain != null; chain = ready.pop()) {
        if (holding) {
          mine.add(chain);
          held.incrementAndGet();
        } else {
          echo(chain);
        }
      }
    }

    @Override
    public boolean poll() {
      if (holding || mine.isEmpty()) {
        return false;
      }
      held.addAndGet(-mine.size());
      mine.forEach(this::echo);
      mine.clear();
      return true;
    }

    private void echo(DescriptorChain chain) {
      queue.push(chain, chain.writer().copyFrom(chain.reader()));
    }
  }
}
