;;; ullage-notices.el --- What the server tells unasked  -*- lexical-binding: t; -*-

;; SPDX-License-Identifier: MIT

;;; Commentary:

;; Events, short memory and the server's messages as sentences for a person.

;;; Code:

(require 'cl-lib)
(require 'subr-x)
(require 'ullage-connection)

(defun ullage--grouped (number)
  "NUMBER with commas between thousands."
  (let ((text (number-to-string number)))
    (while (string-match "\\`\\([0-9]+\\)\\([0-9]\\{3\\}\\)" text)
      (setq text (replace-match "\\1,\\2" nil nil text)))
    text))

(defun ullage--room-made (detail)
  "A sentence about the change of the window in DETAIL."
  (unless (equal (plist-get detail :origin) "client")
    (format "Room was made in the window: %s → %s tokens; %d messages left it and stay in the history.  M-x ullage-undo takes it back"
            (ullage--grouped (plist-get detail :originalTokens))
            (ullage--grouped (plist-get detail :compressedTokens))
            (plist-get detail :removed))))

(defun ullage--event (kind detail)
  "A sentence about an event of KIND with DETAIL, nil where none is wanted."
  (cl-case kind
    ((compressed trimmed) (ullage--room-made detail))
    (snapshotCreated
     (unless (equal (plist-get detail :trigger) "manual")
       "A snapshot of the window was kept.  M-x ullage-restore lists them"))
    (preOverflow
     (format "The window is nearly full: %s / %s tokens"
             (ullage--grouped (plist-get detail :tokens))
             (ullage--grouped (plist-get detail :limit))))
    (truncatedByServer
     (format "The model server cut the prompt: %s of %s tokens were read.  Load the model there with a larger context"
             (ullage--grouped (plist-get detail :evaluated))
             (ullage--grouped (plist-get detail :sent))))
    (recovered "What could be read of a damaged store was brought back")))

(defun ullage--hear-event (params)
  "Tell the person of the event PARAMS where that is wanted."
  (when-let ((text (ullage--event (intern (plist-get params :kind))
                                  (plist-get params :detail))))
    (message "Ullage: %s" text)))

(defun ullage--size-text (bytes)
  "BYTES for a person."
  (format "%.1f GB" (/ bytes 1073741824.0)))

(defun ullage--hear-low-memory (params)
  "Tell the person of the short memory in PARAMS."
  (let ((free (ullage--get params :reading :available))
        (total (ullage--get params :reading :total)))
    (message "Ullage: Memory is short: %s%s is free.  M-x ullage-compress makes the conversation smaller, M-x ullage-size the window"
             (if free (ullage--size-text free) "little")
             (if total (concat " of " (ullage--size-text total)) ""))))

(defun ullage--show (params)
  "Show a message, PARAMS: a line at the bottom, more of them in a window."
  (let ((text (string-trim (plist-get params :message))))
    (if (not (string-search "\n" text))
        (message "%s" text)
      (with-current-buffer (get-buffer-create "*ullage*")
        (let ((inhibit-read-only t))
          (erase-buffer)
          (insert text "\n")
          (goto-char (point-min)))
        (special-mode)
        (display-buffer (current-buffer))))))

(setf (alist-get 'context/event ullage--hearers) #'ullage--hear-event
      (alist-get 'context/lowMemory ullage--hearers) #'ullage--hear-low-memory
      (alist-get 'window/showMessage ullage--hearers) #'ullage--show)

(provide 'ullage-notices)
;;; ullage-notices.el ends here
