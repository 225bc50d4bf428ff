/// A release of Linux, as far as the uAPI goes by it.
package struct KernelVersion: Sendable, Equatable, CustomStringConvertible {
    /// 6 of 6.13.
    package let major: Int
    /// 13 of 6.13.
    package let minor: Int

    /// A release.
    package init(_ major: Int, _ minor: Int) { (self.major, self.minor) = (major, minor) }

    /// "Linux 6.13"
    package var description: String { "Linux \(major).\(minor)" }
}
