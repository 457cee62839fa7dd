// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.driver;

import io.jvirtio.driver.DriverDevice.State;
import io.jvirtio.driver.DriverDevice.StateListener;
import java.io.IOException;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.CopyOnWriteArrayList;

/** The state machine of a {@link DriverDevice}, as a table. Thread-safe; never blocks. */
final class DeviceStates {
  private final DriverDevice device;
  private final ControlExecutor executor;
  private final List<StateListener> listeners = new CopyOnWriteArrayList<>();
  private volatile State state = State.NEW;
  private volatile IOException failure;

  DeviceStates(DriverDevice device, ControlExecutor executor) {
    this.device = device;
    this.executor = executor;
  }

  private static Set<State> after(State from) {
    return switch (from) {
      case NEW -> EnumSet.of(State.STARTING, State.LOST, State.REMOVED);
      case STARTING ->
          EnumSet.of(State.NEGOTIATED, State.NEW, State.FAILED, State.LOST, State.REMOVED);
      case NEGOTIATED -> EnumSet.of(State.LIVE, State.FAILED, State.LOST, State.REMOVED);
      case LIVE ->
          EnumSet.of(
              State.SUSPENDED,
              State.FROZEN,
              State.BROKEN,
              State.NEW,
              State.FAILED,
              State.LOST,
              State.REMOVED);
      case SUSPENDED ->
          EnumSet.of(State.LIVE, State.BROKEN, State.NEW, State.FAILED, State.LOST, State.REMOVED);
      case FROZEN -> EnumSet.of(State.STARTING, State.NEW, State.LOST, State.REMOVED);
      case BROKEN ->
          EnumSet.of(
              State.STARTING, State.FROZEN, State.NEW, State.FAILED, State.LOST, State.REMOVED);
      case LOST -> EnumSet.of(State.STARTING, State.REMOVED);
      case FAILED -> EnumSet.of(State.STARTING, State.NEW, State.LOST, State.REMOVED);
      case REMOVED -> EnumSet.noneOf(State.class);
    };
  }

  State state() {
    return state;
  }

  IOException failure() {
    return failure;
  }

  void listen(StateListener listener) {
    listeners.add(Objects.requireNonNull(listener));
  }

  /**
   * Goes to another state if the table has a way.
   *
   * @param why the failure from now on, or null
   */
  boolean move(State to, IOException why) {
    return move(null, to, why);
  }

  private boolean move(State expected, State to, IOException why) {
    synchronized (this) {
      State from = state;
      if (expected != null && from != expected) {
        return false;
      }
      if (!after(from).contains(to)) {
        return false;
      }
      state = to;
      failure = why;
      for (StateListener listener : listeners) {
        executor.add(() -> listener.changed(device, from, to));
      }
    }
    executor.start();
    return true;
  }

  /**
   * Goes on with what was begun.
   *
   * @throws IOException when the device was lost meanwhile, or broke
   */
  void advance(State to) throws IOException {
    advance(null, to);
  }

  /** As {@link #advance(State)}, from this state only. */
  void advance(State from, State to) throws IOException {
    if (!move(from, to, null)) {
      checkWhole();
      throw illegal("become " + to);
    }
  }

  /** Throws what has happened to the device, if anything has. */
  void checkWhole() throws IOException {
    IOException why = failure;
    if (why != null) {
      throw new IOException(why.getMessage(), why);
    }
  }

  /**
   * The state, which must be one of these.
   *
   * @throws IllegalStateException in any other
   */
  State require(String what, State... allowed) {
    State now = state;
    if (!Arrays.asList(allowed).contains(now)) {
      throw illegal(what);
    }
    return now;
  }

  private IllegalStateException illegal(String what) {
    return new IllegalStateException(device.name() + " cannot " + what + ": it is " + state);
  }
}
