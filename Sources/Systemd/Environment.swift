import Glibc

/// Reading of this process's environment. Programs that set variables do so before they start threads.
enum Environment {
    /// The value of a variable, `nil` where it is unset or empty.
    static func value(_ name: String) -> String? {
        guard let value = getenv(name), value.pointee != 0 else { return nil }
        return String(cString: value)
    }
}
