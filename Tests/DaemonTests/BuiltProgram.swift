import Foundation

/// The executables that were built together with these tests.
enum BuiltProgram {
    static var iommud: String { directory + "/iommud" }
    static var iommuctl: String { directory + "/iommuctl" }

    /// Where the build put its products: next to the program that runs the tests.
    static var directory: String {
        let program = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        return (program as NSString).deletingLastPathComponent
    }

    /// The top of the package.
    static var packageRoot: String {
        URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().path
    }

    static var laboratory: String { packageRoot + "/Config/lab.toml" }
}
