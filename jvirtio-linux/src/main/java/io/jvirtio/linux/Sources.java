// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.linux;

import io.jvirtio.device.EventSource;
import java.util.Arrays;
import java.util.Objects;

/**
 * The sources of an {@link EventLoop}. What they throw goes to the reporter, never to the caller.
 *
 * <p>Sources come and go also from within {@link #poll}, {@link #armAll} and {@link #disarmAll}: a
 * removed one leaves a hole until the next poll, for the array may be in the middle of an
 * iteration. Owner thread only. Only {@link #add} may allocate.
 */
final class Sources {
  private final FaultReporter faults;
  private EventSource[] sources = new EventSource[8];
  private int slots;
  private int holes;
  private int armed;

  Sources(FaultReporter faults) {
    this.faults = faults;
  }

  /**
   * Adds one at the end.
   *
   * @throws IllegalStateException when it is there already
   */
  void add(EventSource source) {
    Objects.requireNonNull(source);
    if (indexOf(source) >= 0) {
      throw new IllegalStateException("source added twice: " + source);
    }
    if (slots == sources.length) {
      sources = Arrays.copyOf(sources, 2 * slots);
    }
    sources[slots++] = source;
  }

  /** Removes one, which is not called any more from now on; nothing when it is not there. */
  void remove(EventSource source) {
    int index = indexOf(source);
    if (index >= 0) {
      sources[index] = null;
      holes++;
    }
  }

  boolean isEmpty() {
    return slots == holes;
  }

  /** Polls each once; true when one has worked. */
  boolean poll() {
    if (holes > 0) {
      compact();
    }
    boolean worked = false;
    for (int i = 0; i < slots; i++) {
      EventSource source = sources[i];
      if (source != null) {
        try {
          worked |= source.poll();
        } catch (Throwable t) {
          faults.report(source, t);
        }
      }
    }
    return worked;
  }

  /** Arms one after the other up to the first that refuses; true when none did. */
  boolean armAll() {
    boolean quiet = true;
    while (quiet && armed < slots) {
      quiet = arm(sources[armed++]);
    }
    return quiet;
  }

  /** Disarms those that {@link #armAll} has come to, also the one that refused. */
  void disarmAll() {
    for (int i = 0; i < armed; i++) {
      disarm(sources[i]);
    }
    armed = 0;
  }

  // A source that throws counts as armed: should its handler leave it here, it does not keep the
  // loop busy.
  private boolean arm(EventSource source) {
    if (source == null) {
      return true;
    }
    try {
      return source.arm();
    } catch (Throwable t) {
      faults.report(source, t);
      return true;
    }
  }

  private void disarm(EventSource source) {
    if (source != null) {
      try {
        source.disarm();
      } catch (Throwable t) {
        faults.report(source, t);
      }
    }
  }

  private void compact() {
    int kept = 0;
    for (int i = 0; i < slots; i++) {
      if (sources[i] != null) {
        sources[kept++] = sources[i];
      }
    }
    Arrays.fill(sources, kept, slots, null);
    slots = kept;
    holes = 0;
  }

  private int indexOf(EventSource source) {
    for (int i = 0; i < slots; i++) {
      if (sources[i] == source) {
        return i;
      }
    }
    return -1;
  }
}
