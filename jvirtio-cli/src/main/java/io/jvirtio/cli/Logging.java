// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.time.Instant;
import java.time.LocalTime;
import java.time.ZoneId;
import java.time.temporal.ChronoUnit;
import java.util.logging.ConsoleHandler;
import java.util.logging.Formatter;
import java.util.logging.Handler;
import java.util.logging.Level;
import java.util.logging.LogRecord;
import java.util.logging.Logger;

/** The log: one line an event, on standard error. */
public final class Logging {
  /** Which events are logged. */
  public enum LogLevel {
    /** Nothing. */
    OFF(Level.OFF),
    /** What went wrong in this program. */
    ERROR(Level.SEVERE),
    /** Also what a peer did wrong. */
    WARNING(Level.WARNING),
    /** Also connections and changes of the device. */
    INFO(Level.INFO),
    /** Also every message, and stack traces. */
    DEBUG(Level.FINE),
    /** Everything. */
    TRACE(Level.FINER);

    private final Level level;

    LogLevel(Level level) {
      this.level = level;
    }
  }

  // A logger without a strong reference forgets its level.
  private static final Logger ROOT = Logger.getLogger("");
  private static final Logger HOUSE = Logger.getLogger("io.jvirtio");

  private Logging() {}

  /** Logs events of this level and above. */
  public static void setUp(LogLevel level) {
    for (Handler handler : ROOT.getHandlers()) {
      ROOT.removeHandler(handler);
    }
    ConsoleHandler handler = new ConsoleHandler();
    handler.setLevel(Level.ALL);
    handler.setFormatter(new OneLine());
    ROOT.addHandler(handler);
    ROOT.setLevel(level == LogLevel.OFF ? Level.OFF : Level.WARNING);
    HOUSE.setLevel(level.level);
  }

  /** Time, level and message; a stack trace only for those who look for faults in this program. */
  static final class OneLine extends Formatter {
    /** A formatter. */
    OneLine() {}

    @Override
    public String format(LogRecord event) {
      LocalTime time =
          LocalTime.ofInstant(Instant.ofEpochMilli(event.getMillis()), ZoneId.systemDefault())
              .truncatedTo(ChronoUnit.MILLIS);
      StringBuilder line = new StringBuilder();
      line.append(String.format("%-12s", time)).append(' ').append(name(event.getLevel()));
      line.append(formatMessage(event).replaceAll("\\R", " "));
      Throwable thrown = event.getThrown();
      if (thrown != null) {
        line.append(": ").append(thrown.toString().replaceAll("\\R", " "));
        if (HOUSE.isLoggable(Level.FINE)) {
          StringWriter trace = new StringWriter();
          thrown.printStackTrace(new PrintWriter(trace));
          line.append('\n').append(trace.toString().stripTrailing());
        }
      }
      return line.append('\n').toString();
    }

    private static String name(Level level) {
      if (level.intValue() >= Level.SEVERE.intValue()) {
        return "error: ";
      }
      if (level.intValue() >= Level.WARNING.intValue()) {
        return "warning: ";
      }
      return level.intValue() >= Level.INFO.intValue() ? "" : "debug: ";
    }
  }
}
