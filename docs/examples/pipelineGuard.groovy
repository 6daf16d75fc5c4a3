// vars/pipelineGuard.groovy of a *global* shared library (those run outside the sandbox):
//
//   post { always { pipelineGuard(url: 'https://guard.example.com/webhooks/jenkins', credentialsId: 'guard-key') } }
//
// Signs on the controller, so agents need neither curl nor the key. The credential is a "secret
// text" with the value of PIPELINE_GUARD_JENKINS_WEBHOOK_TOKEN.
import com.cloudbees.groovy.cps.NonCPS
import groovy.json.JsonOutput
import javax.crypto.Mac
import javax.crypto.spec.SecretKeySpec

def call(Map args) {
  String body = JsonOutput.toJson([
    name : env.JOB_BASE_NAME,
    build: [full_url : env.BUILD_URL, number: env.BUILD_NUMBER as Integer, phase: 'FINALIZED',
            status   : currentBuild.currentResult, timestamp: System.currentTimeMillis(),
            scm      : [url: env.GIT_URL, branch: env.GIT_BRANCH, commit: env.GIT_COMMIT]]
  ])
  withCredentials([string(credentialsId: args.credentialsId, variable: 'GUARD_KEY')]) {
    try {
      int status = send(args.url as String, body, sign(body, env.GUARD_KEY))
      if (status >= 300) {
        echo "Pipeline Guard answered ${status}"
      }
    } catch (IOException e) {
      echo "Pipeline Guard was not told: ${e.message}"
    }
  }
}

@NonCPS
private static String sign(String body, String key) {
  Mac mac = Mac.getInstance('HmacSHA256')
  mac.init(new SecretKeySpec(key.getBytes('UTF-8'), 'HmacSHA256'))
  return mac.doFinal(body.getBytes('UTF-8')).encodeHex().toString()
}

@NonCPS
private static int send(String url, String body, String signature) {
  HttpURLConnection c = (HttpURLConnection) new URL(url).openConnection()
  c.connectTimeout = 5000
  c.readTimeout = 20000
  c.requestMethod = 'POST'
  c.doOutput = true
  c.setRequestProperty('Content-Type', 'application/json')
  c.setRequestProperty('X-Hub-Signature-256', 'sha256=' + signature)
  c.outputStream.withCloseable { it.write(body.getBytes('UTF-8')) }
  return c.responseCode
}
