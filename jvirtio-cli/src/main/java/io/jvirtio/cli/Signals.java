// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli;

import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;

/**
 * Handlers of signals. {@code sun.misc.Signal} is the only way to them in Java; it is supported, in
 * the module jdk.unsupported, but naming it gives a warning that cannot be turned off: so by
 * reflection.
 */
public final class Signals {
  private Signals() {}

  /**
   * Runs an action at each arrival of a signal, on a thread of its own.
   *
   * @param name without SIG, such as TERM
   * @throws IllegalArgumentException when there is no such signal, or the JVM keeps it for itself
   */
  public static void handle(String name, Runnable action) {
    try {
      Class<?> signal = Class.forName("sun.misc.Signal");
      Class<?> handler = Class.forName("sun.misc.SignalHandler");
      Object proxy =
          Proxy.newProxyInstance(
              handler.getClassLoader(),
              new Class<?>[] {handler},
              (self, method, arguments) ->
                  switch (method.getName()) {
                    case "handle" -> {
                      action.run();
                      yield null;
                    }
                    case "hashCode" -> System.identityHashCode(self);
                    case "equals" -> self == arguments[0];
                    default -> "handler of SIG" + name;
                  });
      Object number = signal.getConstructor(String.class).newInstance(name);
      signal.getMethod("handle", signal, handler).invoke(null, number, proxy);
    } catch (InvocationTargetException e) {
      throw new IllegalArgumentException("signal " + name, e.getCause());
    } catch (ReflectiveOperationException e) {
      throw new IllegalStateException("this JVM has no sun.misc.Signal", e);
    }
  }
}
