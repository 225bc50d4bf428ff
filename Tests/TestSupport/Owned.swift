import LinuxIO

/// A descriptor that a test has opened, given to whom it is passed.
package func owned(_ number: Int32) -> Descriptor { Descriptor(adopting: number) }
