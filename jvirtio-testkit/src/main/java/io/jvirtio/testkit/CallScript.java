// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import java.io.IOException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** What a scripted transport is asked, in order, and which calls fail. Thread-safe. */
final class CallScript {
  private final List<String> calls = new ArrayList<>();
  private final Map<String, IOException> failures = new HashMap<>();
  private final Map<String, Runnable> hooks = new HashMap<>();
  private int callsLeft = Integer.MAX_VALUE;

  synchronized List<String> calls() {
    return List.copyOf(calls);
  }

  synchronized void clear() {
    calls.clear();
  }

  synchronized void fail(String name, IOException failure) {
    failures.put(name, failure);
  }

  synchronized IOException failure(String name) {
    return failures.get(name);
  }

  synchronized void before(String name, Runnable action) {
    hooks.put(name, action);
  }

  synchronized void failAfter(int moreCalls) {
    callsLeft = moreCalls;
  }

  /** Writes down a call that never fails. */
  synchronized void note(String text) {
    calls.add(text);
  }

  /** Writes down a call, and throws what the script says. */
  void called(String device, IOException lost, String name, Object... arguments)
      throws IOException {
    StringBuilder text = new StringBuilder(name);
    for (Object argument : arguments) {
      text.append(' ').append(argument);
    }
    note(text.toString());
    if (lost != null) {
      throw new IOException(device + " is lost", lost);
    }
    Runnable hook = hook(name);
    if (hook != null) {
      // Without the lock: it may make calls of its own.
      hook.run();
    }
    IOException failure = failure(name);
    if (failure != null) {
      throw failure;
    }
    if (isOver()) {
      throw new IOException(device + ": " + text + " fails");
    }
  }

  private synchronized Runnable hook(String name) {
    return hooks.get(name);
  }

  private synchronized boolean isOver() {
    if (callsLeft == Integer.MAX_VALUE) {
      return false;
    }
    callsLeft = Math.max(callsLeft - 1, -1);
    return callsLeft < 0;
  }
}
