/// The version of this program, which is that of the daemon it comes with.
enum ProgramVersion {
    static let text = "0.1.0"
}
