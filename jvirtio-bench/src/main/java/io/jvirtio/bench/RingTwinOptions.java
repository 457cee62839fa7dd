// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.bench;

import java.util.List;

/**
 * What one measurement of {@link RingTwin}, or of its C twin, is of.
 *
 * @param threads 1: driver and device in turn; 2: each polls in its own
 * @param packed whether VIRTIO_F_RING_PACKED is negotiated
 * @param indirect whether VIRTIO_F_INDIRECT_DESC is negotiated
 * @param eventIdx whether VIRTIO_F_EVENT_IDX is negotiated
 * @param batch requests that are published together, at most (1 to 32); twice as many are in flight
 *     between two threads
 * @param size the queue size
 * @param warmup milliseconds before it
 * @param millis milliseconds of it
 * @param cpu the processor of the driver, or -1
 * @param peer the processor of the device's own thread, or -1
 */
record RingTwinOptions(
    int threads,
    boolean packed,
    boolean indirect,
    boolean eventIdx,
    int batch,
    int size,
    long warmup,
    long millis,
    int cpu,
    int peer) {

  /**
   * Reads a command line, as {@link #command} writes it.
   *
   * @throws IllegalArgumentException with what is wrong
   */
  static RingTwinOptions parse(String[] args) {
    long[] values = {1, 0, 0, 0, 32, 256, 200, 1000, -1, -1};
    String[] names = {
      "threads",
      "packed",
      "indirect",
      "event-idx",
      "batch",
      "size",
      "warmup",
      "millis",
      "cpu",
      "peer"
    };
    for (String arg : args) {
      int found = -1;
      for (int i = 0; i < names.length; i++) {
        if (arg.startsWith("--" + names[i] + "=")) {
          found = i;
        }
      }
      if (found < 0) {
        throw new IllegalArgumentException("unknown option " + arg);
      }
      values[found] = Long.parseLong(arg.substring(arg.indexOf('=') + 1));
    }
    return new RingTwinOptions(
        (int) values[0],
        values[1] != 0,
        values[2] != 0,
        values[3] != 0,
        (int) values[4],
        (int) values[5],
        values[6],
        values[7],
        (int) values[8],
        (int) values[9]);
  }

  /** Its arguments, which both sides understand. */
  List<String> command() {
    return List.of(
        "--threads=" + threads,
        "--packed=" + (packed ? 1 : 0),
        "--indirect=" + (indirect ? 1 : 0),
        "--event-idx=" + (eventIdx ? 1 : 0),
        "--batch=" + batch,
        "--size=" + size,
        "--warmup=" + warmup,
        "--millis=" + millis,
        "--cpu=" + cpu,
        "--peer=" + peer);
  }
}
